//! The names below `internal.`: the grammar, and what each name holds.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use hickory_proto::rr::RecordType;

use crate::text::TextList;
use crate::view::{MachineView, NetworkView};
use crate::zone::Found;

/// A name below `internal.`, read.
#[derive(Debug, PartialEq, Eq)]
enum Subject<'a> {
    /// A name of the network itself that lists something.
    List(List),
    /// A name that exists and holds nothing: `_api` (Roost's API is not offered inside private
    /// networks) and `_peer` (there are no peers to list).
    Empty,
    /// The key of `Fly-Src`.
    SourceKey,
    /// A name of an app.
    App(&'a str, Wanted<'a>),
    /// No such name can exist.
    Missing,
}

/// The lists of a network.
#[derive(Debug, PartialEq, Eq)]
enum List {
    Apps,
    Instances { all: bool },
}

/// What is asked of an app.
#[derive(Debug, PartialEq, Eq)]
enum Wanted<'a> {
    Started,
    Region(&'a [u8]),
    Nearest(usize),
    Group(&'a [u8]),
    Machine(&'a [u8]),
    Metadata {
        key: &'a [u8],
        value: Vec<u8>,
    },
    Regions {
        all: bool,
    },
    Machines {
        all: bool,
    },
    /// A name that only leads to others, as `vm.<app>`.
    Way,
}

/// What a name below `internal.` holds; `room` is the space for records in bytes.
pub(crate) fn find(
    below: &[&[u8]],
    kind: RecordType,
    caller: &impl NetworkView,
    room: usize,
    random: &mut impl FnMut() -> u64,
) -> Found {
    match (Subject::of(below), kind) {
        (Subject::Missing, _) => Found::Missing,
        (Subject::List(list), RecordType::TXT) => list.text(caller, room),
        (Subject::SourceKey, RecordType::TXT) => source_key(caller, room),
        (Subject::App(app, _), _) if !visible(caller, app) => Found::Missing,
        (Subject::App(app, wanted), RecordType::AAAA) => wanted.addresses(app, caller, random),
        (Subject::App(app, wanted), RecordType::TXT) => wanted.text(app, caller, room),
        (Subject::List(_) | Subject::Empty | Subject::SourceKey | Subject::App(..), _) => {
            Found::Nothing
        }
    }
}

fn source_key(caller: &impl NetworkView, room: usize) -> Found {
    let mut list = TextList::new(room);
    let _ = caller.source_key().map(|key| list.push(key));
    Found::Text(list.join(""))
}

/// Whether the network has the app, as DNS tells.
///
/// An app whose Machines all stay out of DNS (a console, a test) stays out of it too; one that has
/// no Machine yet is known.
fn visible(caller: &impl NetworkView, app: &str) -> bool {
    caller.machines(app).is_some_and(|machines| {
        let mut machines = machines.peekable();
        machines.peek().is_none() || machines.any(|machine| machine.listed())
    })
}

/// An app's Machines that take part in DNS; only those that run, or all.
fn listed<'a, V: NetworkView>(
    caller: &'a V,
    app: &str,
    all: bool,
) -> impl Iterator<Item = V::Machine<'a>> {
    let every = all.then(|| caller.machines(app)).flatten();
    let started = (!all).then(|| caller.started(app));
    let machines = every.into_iter().flatten();
    let machines = machines.chain(started.into_iter().flatten());
    machines.filter(MachineView::listed)
}

// === impl Subject ===

impl<'a> Subject<'a> {
    fn of(below: &'a [&'a [u8]]) -> Self {
        match below {
            [b"_api" | b"_peer"] => Self::Empty,
            [b"_fly-src"] => Self::SourceKey,
            [b"_apps"] => Self::List(List::Apps),
            [b"_instances"] => Self::List(List::Instances { all: false }),
            [b"all", b"_instances"] => Self::List(List::Instances { all: true }),
            [wanted @ .., app] => match (str::from_utf8(app), Wanted::of(wanted)) {
                (Ok(app), Some(wanted)) if !app.starts_with('_') => Self::App(app, wanted),
                _ => Self::Missing,
            },
            [] => Self::Missing,
        }
    }
}

// === impl List ===

impl List {
    fn text(self, caller: &impl NetworkView, room: usize) -> Found {
        let mut list = TextList::new(room);
        let separator = match self {
            Self::Apps => {
                let _ = caller
                    .apps()
                    .filter(|app| visible(caller, app))
                    .try_for_each(|app| list.push(app.to_owned()));
                ","
            }
            Self::Instances { all: true } => {
                let _ = caller
                    .apps()
                    .flat_map(|app| listed(caller, app, true))
                    .try_for_each(|machine| list.push(instance(&machine)));
                ";"
            }
            Self::Instances { all: false } => {
                let _ = caller
                    .all_started()
                    .filter(MachineView::listed)
                    .try_for_each(|machine| list.push(instance(&machine)));
                ";"
            }
        };
        Found::Text(list.join(separator))
    }
}

fn instance(machine: &impl MachineView) -> String {
    let (id, app, ip) = (machine.id(), machine.app(), machine.address());
    format!(
        "instance={id},app={app},ip={ip},region={}",
        machine.region()
    )
}

// === impl Wanted ===

impl<'a> Wanted<'a> {
    /// Reads the labels before an app's name; `None` when no such name can exist.
    fn of(labels: &'a [&'a [u8]]) -> Option<Self> {
        Some(match labels {
            [] | [b"global"] => Self::Started,
            [b"regions"] => Self::Regions { all: false },
            [b"all", b"regions"] => Self::Regions { all: true },
            [b"vms"] => Self::Machines { all: false },
            [b"all", b"vms"] => Self::Machines { all: true },
            [b"vm" | b"process" | b"of" | b"_metadata"]
            | [b"nearest", b"of"]
            | [b"kv", b"_metadata"]
            | [_, b"kv", b"_metadata"] => Self::Way,
            [region] if region.iter().copied().all(is_word) => Self::Region(region),
            [top, b"nearest", b"of"] => Self::Nearest(nearest_count(top)?),
            [group, b"process"] => Self::Group(group),
            [id, b"vm"] => Self::Machine(id),
            [value @ .., key, b"kv", b"_metadata"] => Self::Metadata {
                key,
                // A value with dots arrives as several labels.
                value: value.join(&b'.'),
            },
            _ => return None,
        })
    }

    fn addresses<V: NetworkView>(
        &self,
        app: &str,
        caller: &V,
        random: &mut impl FnMut() -> u64,
    ) -> Found {
        if let Self::Machine(id) = self {
            let machine = str::from_utf8(id).ok().and_then(|id| caller.machine(id));
            let found = machine
                .filter(|machine| machine.app() == app && machine.listed() && machine.started());
            return Found::Addresses(found.map(|machine| machine.address()).into_iter().collect());
        }
        let mut machines: Vec<_> = listed(caller, app, false)
            .filter(|machine| self.takes(machine))
            .collect();
        shuffle(&mut machines, random);
        if let Self::Nearest(count) = self {
            machines.sort_by_cached_key(|machine| caller.distance(machine.region()));
            machines.truncate(*count);
        }
        let addresses: Vec<Ipv6Addr> = machines.iter().map(MachineView::address).collect();
        Found::Addresses(addresses)
    }

    fn takes(&self, machine: &impl MachineView) -> bool {
        let same = |text: &str, label: &[u8]| text.as_bytes().eq_ignore_ascii_case(label);
        match self {
            Self::Started | Self::Nearest(_) => true,
            Self::Region(region) => same(machine.region(), region),
            Self::Group(group) => same(machine.group(), group),
            Self::Metadata { key, value } => {
                let mut pairs = machine.metadata();
                pairs.any(|(have, holds)| same(have, key) && same(holds, value))
            }
            _ => false,
        }
    }

    fn text(&self, app: &str, caller: &impl NetworkView, room: usize) -> Found {
        let mut list = TextList::new(room);
        match *self {
            Self::Regions { all } => {
                let mut regions = BTreeSet::new();
                for machine in listed(caller, app, all) {
                    if !regions.contains(machine.region()) {
                        regions.insert(machine.region().to_owned());
                    }
                }
                let _ = regions.into_iter().try_for_each(|region| list.push(region));
            }
            Self::Machines { all } => {
                let _ = listed(caller, app, all).try_for_each(|machine| {
                    list.push(format!("{} {}", machine.id(), machine.region()))
                });
            }
            _ => return Found::Nothing,
        }
        Found::Text(list.join(","))
    }
}

/// `N` of `top<N>`: from 1 up, as large as the caller likes.
fn nearest_count(label: &[u8]) -> Option<usize> {
    let digits = label.strip_prefix(b"top")?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits.iter().fold(0_usize, |count, digit| {
        count
            .saturating_mul(10)
            .saturating_add(usize::from(digit - b'0'))
    });
    (count > 0).then_some(count)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

/// Fisher and Yates's shuffle.
fn shuffle<T>(items: &mut [T], random: &mut impl FnMut() -> u64) {
    for last in (1..items.len()).rev() {
        let chosen = usize::try_from(random() % (last as u64 + 1)).unwrap_or(0);
        items.swap(last, chosen);
    }
}
