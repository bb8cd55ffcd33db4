//! Which certificate of an app a caller is shown. Law: `protocol/control.md`, "TLS".

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use roost_wire::{App, Certificate, Name};

/// All certificates, each with what is needed to show it.
#[derive(Debug)]
pub struct Certificates<T> {
    by_app: HashMap<Name, Vec<Entry<T>>>,
    /// Whose an id is.
    apps: HashMap<Name, Name>,
}

#[derive(Debug)]
struct Entry<T> {
    facts: Facts,
    shown: Arc<T>,
}

/// What is known of a certificate; its text and key are elsewhere.
#[derive(Debug)]
struct Facts {
    id: Name,
    names: Vec<Name>,
    audience: Option<Name>,
    valid: Validity,
    renew_at: Option<u64>,
}

/// From when until when, in seconds of Unix time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: u64,
    /// The last one.
    pub not_after: u64,
}

/// Who wants to see a certificate.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// The called app.
    pub app: &'a App,
    /// The organization of the caller's network; that of the app for callers from outside.
    pub audience: &'a str,
    /// The name in the `ClientHello`, in lower case.
    pub name: Option<&'a str>,
    /// Seconds of Unix time.
    pub now: u64,
}

/// What a caller is shown.
#[derive(Debug)]
pub enum Choice<T> {
    /// This certificate.
    Show {
        /// Which one.
        what: Arc<T>,
        /// It was issued, and another one should be asked for.
        renew: bool,
    },
    /// The one that the authority of the audience has yet to issue.
    Await(Gap<T>),
    /// None: nothing is for the name. One that was for it may have ended, or not begun.
    Nothing(Option<Validity>),
}

/// What there is while another one is awaited.
#[derive(Debug)]
pub struct Gap<T> {
    /// The issued one that will not do.
    pub stale: Option<Arc<T>>,
    /// It is valid, and only lacks the name.
    pub unnamed: bool,
    /// When the given one that has the name was or will be valid.
    pub lapsed: Option<Validity>,
}

impl Validity {
    /// Whether `now` is in between.
    pub const fn contains(self, now: u64) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

impl<T> Default for Certificates<T> {
    fn default() -> Self {
        Self {
            by_app: HashMap::new(),
            apps: HashMap::new(),
        }
    }
}

impl<T> Certificates<T> {
    /// What is shown of one.
    pub fn shown(&self, id: &str) -> Option<&Arc<T>> {
        let mut mine = self.by_app.get(self.apps.get(id)?)?.iter();
        mine.find(|entry| *entry.facts.id == *id)
            .map(|entry| &entry.shown)
    }

    /// Creates or replaces one.
    pub fn put(&mut self, value: &Certificate, shown: Arc<T>) {
        self.del(&value.id);
        let facts = Facts {
            id: value.id.clone(),
            names: value.names.clone(),
            audience: value.audience.clone(),
            valid: Validity {
                not_before: value.not_before,
                not_after: value.not_after,
            },
            renew_at: value.renew_at,
        };
        let entries = self.by_app.entry(value.app.clone()).or_default();
        entries.push(Entry { facts, shown });
        self.apps.insert(value.id.clone(), value.app.clone());
    }

    /// Removes one; a missing one is fine.
    pub fn del(&mut self, id: &str) {
        let Some(app) = self.apps.remove(id) else {
            return;
        };
        if let Some(entries) = self.by_app.get_mut(&app) {
            entries.retain(|entry| *entry.facts.id != *id);
            if entries.is_empty() {
                self.by_app.remove(&app);
            }
        }
    }

    /// All ids, in no order.
    pub fn ids(&self) -> impl Iterator<Item = &Name> {
        self.apps.keys()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.apps.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.apps.is_empty()
    }

    /// What a caller is shown.
    pub fn choose(&self, visit: &Visit<'_>) -> Choice<T> {
        let entries = self
            .by_app
            .get(&visit.app.id)
            .map_or(&[][..], Vec::as_slice);
        if let Some(entry) = given(entries, visit) {
            return entry.show(visit.now);
        }
        let issued = issued(entries, visit);
        let named = |entry: &Entry<T>| {
            visit
                .name
                .is_some_and(|name| entry.facts.rank(name).is_some())
        };
        let asks_for_own = visit.name.is_none_or(|name| is_own_name(visit.app, name));
        if !asks_for_own && !issued.is_some_and(named) {
            return Choice::Nothing(lapsed(entries, visit));
        }
        let valid = issued.filter(|entry| entry.facts.valid.contains(visit.now));
        // One that was issued before the app got a name does not have it.
        let fits = |entry: &&Entry<T>| visit.name.is_none() || named(entry);
        if let Some(entry) = valid.filter(fits) {
            return entry.show(visit.now);
        }
        Choice::Await(Gap {
            stale: issued.map(|entry| entry.shown.clone()),
            unnamed: valid.is_some(),
            lapsed: lapsed(entries, visit),
        })
    }
}

impl<T> Entry<T> {
    fn show(&self, now: u64) -> Choice<T> {
        let renew =
            self.facts.audience.is_some() && self.facts.renew_at.is_some_and(|at| at <= now);
        Choice::Show {
            what: self.shown.clone(),
            renew,
        }
    }
}

impl Facts {
    /// How well a name fits: the lower the better, `None` if it does not.
    fn rank(&self, name: &str) -> Option<u8> {
        if self.names.iter().any(|own| **own == *name) {
            return Some(0);
        }
        let (_, parent) = name.split_once('.')?;
        let covers = |own: &Name| own.strip_prefix("*.") == Some(parent);
        self.names.iter().any(covers).then_some(1)
    }
}

/// Whether the authority of a caller's organization would issue a certificate with this name of the app.
fn is_own_name(app: &App, name: &str) -> bool {
    let flycast = name.strip_suffix(".flycast") == Some(&*app.id);
    flycast || app.hosts.iter().any(|host| **host == *name)
}

/// The best one that was given and may be shown.
fn given<'e, T>(entries: &'e [Entry<T>], visit: &Visit<'_>) -> Option<&'e Entry<T>> {
    let name = visit.name?;
    let mine = entries
        .iter()
        .filter(|entry| entry.facts.audience.is_none() && entry.facts.valid.contains(visit.now));
    let ranked = mine.filter_map(|entry| Some((entry.facts.rank(name)?, entry)));
    let best = ranked.min_by_key(|(rank, entry)| (*rank, Reverse(entry.facts.valid.not_after)));
    best.map(|(_, entry)| entry)
}

/// The one issued for the caller's organization that ends last.
fn issued<'e, T>(entries: &'e [Entry<T>], visit: &Visit<'_>) -> Option<&'e Entry<T>> {
    let theirs = entries
        .iter()
        .filter(|entry| entry.facts.audience.as_deref() == Some(visit.audience));
    theirs.max_by_key(|entry| entry.facts.valid.not_after)
}

/// When the given one that has the name, and is not valid now, is.
fn lapsed<T>(entries: &[Entry<T>], visit: &Visit<'_>) -> Option<Validity> {
    let name = visit.name?;
    let mine = entries
        .iter()
        .filter(|entry| entry.facts.audience.is_none());
    let fitting = mine.filter(|entry| entry.facts.rank(name).is_some());
    let latest = fitting.max_by_key(|entry| entry.facts.valid.not_after);
    latest.map(|entry| entry.facts.valid)
}
