//! Replays of one app that are remembered: by path, as the app says, and by session, as its rules say.
//!
//! It only saves the way over the app: what is remembered is looked at again, when it is used, as if the app
//! had just said it. Bounded by entries and bytes; the one that was used longest ago goes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use roost_core::Micros;
use roost_http1::FinishedHead;
use roost_wire::Name;

use crate::directive::{CacheOrder, Directive};
use crate::error::Invalid;
use crate::prefix::{Prefix, is_plain};
use crate::rule::{Rule, RuleKind};

/// Entries of one app.
pub const MAX_ENTRIES: usize = 4096;
/// Bytes of one app's entries, about.
pub const MAX_BYTES: usize = 4 << 20;
/// What an entry takes besides its text.
const ENTRY: usize = 256 + size_of::<Directive>();

/// What requests an entry is for. Each port and host name has its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    port: u16,
    host: Box<str>,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum What {
    Path(Box<str>),
    Session {
        path: Box<str>,
        kind: RuleKind,
        value: Box<[u8]>,
    },
}

/// A replay that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// What the app said.
    pub directive: Arc<Directive>,
    /// The Machine that said it.
    pub by: Name,
    /// A caller may ask for the app itself.
    pub allow_bypass: bool,
}

#[derive(Debug)]
struct Entry {
    cached: Cached,
    expires: Micros,
    bytes: usize,
    used: u64,
}

/// A request as the cache sees it.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    /// The external port.
    pub port: u16,
    /// The head.
    pub head: FinishedHead<'a>,
    /// The rules of the port.
    pub rules: &'a [Rule],
    /// The time.
    pub now: Micros,
}

/// The remembered replays of one app.
#[derive(Debug, Default)]
pub struct ReplayCache {
    entries: HashMap<Arc<Key>, Entry>,
    by_use: BTreeMap<u64, Arc<Key>>,
    bytes: usize,
    uses: u64,
}

impl ReplayCache {
    /// The replay that is remembered for a request: of those by path the longest, else the session's.
    pub fn find(&mut self, lookup: Lookup<'_>) -> Option<Cached> {
        if self.entries.is_empty() {
            return None;
        }
        lookup
            .keys()
            .into_iter()
            .find_map(|key| self.get(&key, lookup.now))
    }

    /// Remembers what an app said about a request, as far as the app or its rules ask for it, and the request's
    /// path says plainly which it is.
    pub fn remember(
        &mut self,
        lookup: Lookup<'_>,
        directive: &Arc<Directive>,
        by: &Name,
    ) -> Result<(), Invalid> {
        if !is_plain(lookup.head.path()) {
            return Ok(());
        }
        let host = lookup.host();
        let cached = |allow_bypass| Cached {
            directive: directive.clone(),
            by: by.clone(),
            allow_bypass,
        };
        if let Some(CacheOrder::Remember(order)) = &directive.cache {
            if !order.prefix.matches(&host, lookup.head.path()) {
                return Err(Invalid::field("cache.prefix", "does not match the request"));
            }
            let key = lookup.key(&host, What::Path(order.prefix.path().into()));
            self.insert(key, cached(order.allow_bypass), lookup.now, order.ttl);
        } else if directive.cache.is_none()
            && directive.is_memorable()
            && let Some((rule, value)) = Rule::find(lookup.rules, &host, lookup.head)
        {
            let key = lookup.key(&host, session(rule, value));
            self.insert(key, cached(rule.allow_bypass), lookup.now, rule.ttl);
        }
        Ok(())
    }

    /// Forgets what is remembered for a request.
    pub fn forget(&mut self, lookup: Lookup<'_>) {
        if !self.entries.is_empty() {
            for key in lookup.keys() {
                self.remove(&key);
            }
        }
    }

    /// How many are remembered, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    fn get(&mut self, key: &Key, now: Micros) -> Option<Cached> {
        let (known, entry) = self.entries.get_key_value(key)?;
        if entry.expires <= now {
            self.remove(key);
            return None;
        }
        let known = known.clone();
        self.uses += 1;
        let uses = self.uses;
        let entry = self.entries.get_mut(key)?;
        self.by_use.remove(&entry.used);
        entry.used = uses;
        self.by_use.insert(uses, known);
        Some(entry.cached.clone())
    }

    fn insert(&mut self, key: Key, cached: Cached, now: Micros, ttl: u64) {
        self.remove(&key);
        let bytes = key.bytes() + cached.directive.bytes();
        self.uses += 1;
        let key = Arc::new(key);
        let entry = Entry {
            cached,
            expires: now.saturating_add(ttl.saturating_mul(1_000_000)),
            bytes,
            used: self.uses,
        };
        self.bytes += bytes;
        self.by_use.insert(self.uses, key.clone());
        self.entries.insert(key, entry);
        while self.entries.len() > MAX_ENTRIES || self.bytes > MAX_BYTES {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                return;
            };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
            self.by_use.remove(&entry.used);
        }
    }
}

impl Lookup<'_> {
    fn host(&self) -> String {
        self.head.host_name().to_ascii_lowercase()
    }

    /// The keys under which something could be remembered for the request, the first that is found counts.
    fn keys(&self) -> Vec<Key> {
        if !is_plain(self.head.path()) {
            return Vec::new();
        }
        let host = self.host();
        let paths = Prefix::of_path(self.head.path()).map(|path| What::Path(path.into()));
        let rule = Rule::find(self.rules, &host, self.head);
        let session = rule.map(|(rule, value)| session(rule, value));
        paths
            .chain(session)
            .map(|what| self.key(&host, what))
            .collect()
    }

    fn key(&self, host: &str, what: What) -> Key {
        Key {
            port: self.port,
            host: host.into(),
            what,
        }
    }
}

fn session(rule: &Rule, value: &[u8]) -> What {
    What::Session {
        path: rule.prefix.path().into(),
        kind: rule.kind.clone(),
        value: value.into(),
    }
}

impl Key {
    fn bytes(&self) -> usize {
        let what = match &self.what {
            What::Path(path) => path.len(),
            What::Session { path, value, .. } => path.len() + value.len(),
        };
        ENTRY + self.host.len() + what
    }
}

impl Directive {
    /// About what remembering it takes.
    fn bytes(&self) -> usize {
        const NAME: usize = 64;
        let names = [&self.app, &self.instance, &self.prefer_instance];
        let prefix = match &self.cache {
            Some(CacheOrder::Remember(order)) => order.prefix.len(),
            _ => 0,
        };
        prefix + NAME * (self.regions.len() + names.into_iter().flatten().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directive::Remember;

    const HEAD: &[u8] =
        b"GET /a/b?c HTTP/1.1\r\nHost: Web.Flycast:80\r\nCookie: x=1; id=s1\r\nAuthorization: t\r\n\r\n";
    const OTHER: &[u8] = b"GET /a/b?c HTTP/1.1\r\nHost: other\r\nCookie: id=s1\r\n\r\n";

    fn lookup<'a>(head: &'a [u8], rules: &'a [Rule], now: Micros) -> Lookup<'a> {
        Lookup {
            port: 80,
            head: FinishedHead::new(head),
            rules,
            now,
        }
    }

    fn directive(app: &str, prefix: Option<&str>) -> Arc<Directive> {
        let cache = prefix.map(|text| {
            CacheOrder::Remember(Remember {
                prefix: Prefix::parse("p", text).unwrap(),
                ttl: 10,
                allow_bypass: true,
            })
        });
        Arc::new(Directive {
            app: Some(app.into()),
            cache,
            ..Directive::default()
        })
    }

    fn found(cache: &mut ReplayCache, lookup: Lookup<'_>) -> Option<String> {
        let cached = cache.find(lookup)?;
        cached.directive.app.as_deref().map(str::to_owned)
    }

    #[test]
    fn by_path_the_longest_counts_until_its_time_is_over() {
        let mut cache = ReplayCache::default();
        let by = Name::from("m1");
        for (app, prefix) in [("all", "/"), ("part", "/a/*"), ("far", "web.flycast/a/b")] {
            let order = directive(app, Some(prefix));
            cache.remember(lookup(HEAD, &[], 0), &order, &by).unwrap();
        }
        assert_eq!(found(&mut cache, lookup(OTHER, &[], 0)), None);
        let port = Lookup {
            port: 81,
            ..lookup(HEAD, &[], 0)
        };
        assert_eq!(found(&mut cache, port), None);
        assert_eq!(
            found(&mut cache, lookup(HEAD, &[], 9_999_999)).as_deref(),
            Some("far")
        );
        assert_eq!(found(&mut cache, lookup(HEAD, &[], 10_000_000)), None);
        let elsewhere = directive("x", Some("/other"));
        assert!(
            cache
                .remember(lookup(HEAD, &[], 0), &elsewhere, &by)
                .is_err()
        );
    }

    #[test]
    fn by_session_the_longest_rule_counts() {
        let cookie = RuleKind::Cookie("id".to_owned());
        let header = RuleKind::Header("authorization".to_owned());
        let rules = [
            Rule::new("/", cookie, 10, false).unwrap(),
            Rule::new("/a", header, 10, false).unwrap(),
        ];
        let mut cache = ReplayCache::default();
        let order = directive("b", None);
        cache
            .remember(lookup(HEAD, &rules, 0), &order, &"m".into())
            .unwrap();
        assert_eq!(
            found(&mut cache, lookup(HEAD, &rules, 1)).as_deref(),
            Some("b")
        );
        let other = String::from_utf8_lossy(HEAD).replace("Authorization: t", "Authorization: u");
        assert_eq!(found(&mut cache, lookup(other.as_bytes(), &rules, 1)), None);
        cache.forget(lookup(HEAD, &rules, 1));
        assert_eq!(cache.size(), (0, 0));
    }

    /// What says something about one request alone is not remembered by a rule.
    #[test]
    fn a_rule_remembers_only_what_may_be() {
        let rules = [Rule::new("/", RuleKind::Cookie("id".to_owned()), 10, false).unwrap()];
        let order = Arc::new(Directive {
            state: Some("s".to_owned()),
            ..(*directive("b", None)).clone()
        });
        let mut cache = ReplayCache::default();
        cache
            .remember(lookup(HEAD, &rules, 0), &order, &"m".into())
            .unwrap();
        assert_eq!(cache.size(), (0, 0));
    }

    /// A path that a server may take for another one is the app's to judge, each time.
    #[test]
    fn what_is_not_plain_is_asked_each_time() {
        let mut cache = ReplayCache::default();
        let order = directive("b", Some("/a/*"));
        cache
            .remember(lookup(HEAD, &[], 0), &order, &"m".into())
            .unwrap();
        let hidden = b"GET /a/%2e%2e/admin HTTP/1.1\r\nHost: web.flycast\r\n\r\n";
        assert_eq!(found(&mut cache, lookup(hidden, &[], 0)), None);
        let plain = b"GET /a/x HTTP/1.1\r\nHost: web.flycast\r\n\r\n";
        assert!(found(&mut cache, lookup(plain, &[], 0)).is_some());
        let mut cache = ReplayCache::default();
        cache
            .remember(lookup(hidden, &[], 0), &order, &"m".into())
            .unwrap();
        assert_eq!(cache.size(), (0, 0));
    }

    #[test]
    fn it_never_outgrows_its_bounds_and_keeps_what_is_used() {
        let rules = [Rule::new("/", RuleKind::Cookie("id".to_owned()), 10, false).unwrap()];
        let mut cache = ReplayCache::default();
        let order = directive("b", None);
        for id in 0..MAX_ENTRIES * 2 {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: id={id}\r\n\r\n");
            cache
                .remember(lookup(head.as_bytes(), &rules, 0), &order, &"m".into())
                .unwrap();
            let first = lookup(
                b"GET / HTTP/1.1\r\nHost: a\r\nCookie: id=0\r\n\r\n",
                &rules,
                0,
            );
            assert!(cache.find(first).is_some(), "{id}");
            let (entries, bytes) = cache.size();
            assert!(entries <= MAX_ENTRIES && bytes <= MAX_BYTES);
            assert_eq!(entries, cache.by_use.len());
        }
    }
}
