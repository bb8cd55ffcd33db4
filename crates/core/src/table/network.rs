//! What the table knows about one network, and where it is listened for calls.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use roost_wire::{Address, Name, Network};

use super::place::Span;
use super::{Place, Table, Touched};

#[derive(Debug, Default)]
pub(super) struct NetworkEntry {
    pub(super) value: Option<Arc<Network>>,
    /// Where to listen, with the number of ports of addresses that are the reason.
    pub(super) places: BTreeMap<Place, usize>,
    pub(super) called: HashMap<IpAddr, Called>,
    /// The apps whose Machines are on it.
    pub(super) homes: HashSet<Name>,
    /// Machines by their 6PN addresses, see [`of_machine`].
    pub(super) machines: HashMap<Ipv6Addr, Name>,
    /// Its started Machines, app and id: asking for them costs nothing for those asleep.
    pub(super) started: BTreeSet<(Name, Name)>,
}

/// Who has an address.
#[derive(Debug, Default)]
pub(super) struct Called {
    /// The app that has it for itself.
    pub(super) own: Option<Name>,
    /// The ports of that app, if there is one, which answer here; `None` means all. Kept here so that a call need
    /// not look through all addresses of the app.
    pub(super) ports: Option<Box<[u16]>>,
    /// How many apps share it.
    pub(super) sharers: usize,
}

impl Called {
    /// Whether a port of the app that has it for itself answers.
    pub(super) fn offers(&self, port: u16) -> bool {
        let ports = self.ports.as_deref();
        ports.is_none_or(|ports| ports.contains(&port))
    }
}

impl NetworkEntry {
    fn is_public(&self) -> bool {
        self.value.as_ref().is_some_and(|value| value.public)
    }

    /// Where calls to some ports at an address are listened for.
    fn places_of(&self, address: &Address, span: Span) -> Vec<Place> {
        let ip = if self.is_public() {
            address.ip
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        span.places(address, ip)
    }

    fn is_empty(&self) -> bool {
        self.value.is_none()
            && self.places.is_empty()
            && self.called.is_empty()
            && self.homes.is_empty()
            && self.machines.is_empty()
            && self.started.is_empty()
    }
}

/// What a Machine's addresses have in common: it has a whole /112 and may call from any of it.
pub(super) fn of_machine(ip: &Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(ip.to_bits() >> 16 << 16)
}

impl Table {
    pub(super) fn put_network(&mut self, value: Network, touched: &mut Touched) {
        let id = value.id.clone();
        self.set_network(&id, Some(value), touched);
    }

    pub(super) fn del_network(&mut self, id: &str, touched: &mut Touched) {
        if let Some((id, _)) = self.networks.get_key_value(id) {
            let id = id.clone();
            self.set_network(&id, None, touched);
            self.forget_empty_network(&id);
        }
    }

    fn set_network(&mut self, id: &Name, value: Option<Network>, touched: &mut Touched) {
        touched.networks.insert(id.clone());
        let entry = self.networks.entry(id.clone()).or_default();
        let was_public = entry.is_public();
        entry.value = value.map(Arc::new);
        if entry.is_public() != was_public {
            self.recount_places(id);
        }
    }

    /// Counts anew where to listen. Walks over all apps, but a network is put before what is on it.
    fn recount_places(&mut self, network: &Name) {
        let Some(entry) = self.networks.get_mut(network) else {
            return;
        };
        entry.places.clear();
        for app in self.apps.values() {
            let value = app.value.iter();
            let addresses = value.flat_map(|value| value.addresses.iter());
            for address in addresses.filter(|address| address.network == *network) {
                for span in app.spans.keys() {
                    for place in entry.places_of(address, *span) {
                        *entry.places.entry(place).or_default() += 1;
                    }
                }
            }
        }
    }

    pub(super) fn forget_empty_network(&mut self, id: &str) {
        if self.networks.get(id).is_some_and(NetworkEntry::is_empty) {
            self.networks.remove(id);
        }
    }

    /// Some ports of an address are to be listened for.
    pub(super) fn count_places(&mut self, address: &Address, span: Span, touched: &mut Touched) {
        let network = &address.network;
        let entry = self.networks.entry(network.clone()).or_default();
        for place in entry.places_of(address, span) {
            let count = entry.places.entry(place).or_default();
            *count += 1;
            if *count == 1 {
                touched.places.insert((network.clone(), place));
            }
        }
    }

    /// Some ports of an address are not to be listened for on its account.
    pub(super) fn uncount_places(&mut self, address: &Address, span: Span, touched: &mut Touched) {
        let network = &address.network;
        let Some(entry) = self.networks.get_mut(network) else {
            return;
        };
        for place in entry.places_of(address, span) {
            let Some(count) = entry.places.get_mut(&place) else {
                continue;
            };
            *count = count.saturating_sub(1);
            if *count == 0 {
                entry.places.remove(&place);
                touched.places.insert((network.clone(), place));
            }
        }
        self.forget_empty_network(network);
    }
}
