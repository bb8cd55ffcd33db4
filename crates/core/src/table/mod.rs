//! The routing table: what the agent put, and the indexes that accepting and DNS need.
//!
//! Adding or removing one app or Machine costs the same whatever the size of the table: the ports a
//! network listens on are reference counts, never recomputed from all apps.

mod app;
mod call;
mod machine;
mod network;
mod place;
mod port;
mod ports;
mod touched;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use roost_wire::{Address, App, Entity, Kind, Machine, Name, Network, Protocol};

/// The usual port.
const HTTPS: u16 = 443;

pub use call::{Call, Offer};
pub use place::Place;
pub use touched::{Release, Touched};

use crate::Handling;
use network::{NetworkEntry, of_machine};
use place::Span;
use port::PortEntry;
use ports::Ports;

/// All networks, apps and Machines the agent put.
#[derive(Debug, Default)]
pub struct Table {
    networks: HashMap<Name, NetworkEntry>,
    apps: HashMap<Name, AppEntry>,
    machines: HashMap<Name, Arc<Machine>>,
    /// Which apps say that they are called by a name at shared addresses.
    hosts: HashMap<Name, BTreeSet<Name>>,
    words: HashSet<Name>,
}

#[derive(Debug, Default)]
struct AppEntry {
    value: Option<Arc<App>>,
    machines: Vec<Name>,
    /// The ports and ranges that its Machines offer, with how many offer exactly this.
    spans: BTreeMap<Span, usize>,
    tcp: Ports,
    udp: Ports,
}

impl AppEntry {
    fn ports(&self, protocol: Protocol) -> &Ports {
        match protocol {
            Protocol::Udp => &self.udp,
            Protocol::Tcp | Protocol::Other => &self.tcp,
        }
    }

    fn ports_mut(&mut self, protocol: Protocol) -> &mut Ports {
        match protocol {
            Protocol::Udp => &mut self.udp,
            Protocol::Tcp | Protocol::Other => &mut self.tcp,
        }
    }
}

impl Table {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates or replaces one thing.
    pub fn put(&mut self, entity: Entity) -> Touched {
        let mut touched = Touched::default();
        match entity {
            Entity::Network(value) => self.put_network(value, &mut touched),
            Entity::App(value) => self.put_app(value, &mut touched),
            Entity::Machine(value) => self.put_machine(value, &mut touched),
            // They lead nowhere.
            Entity::Certificate(_) => {}
        }
        touched
    }

    /// Removes one thing; a missing one is fine.
    pub fn del(&mut self, kind: Kind, id: &str) -> Touched {
        let mut touched = Touched::default();
        match kind {
            Kind::Network => self.del_network(id, &mut touched),
            Kind::App => self.del_app(id, &mut touched),
            Kind::Machine => self.del_machine(id, &mut touched),
            Kind::Certificate => {}
        }
        touched
    }

    /// The network with this id.
    pub fn network(&self, id: &str) -> Option<&Arc<Network>> {
        self.networks.get(id)?.value.as_ref()
    }

    /// All networks, in no order.
    pub fn networks(&self) -> impl Iterator<Item = &Arc<Network>> {
        self.networks
            .values()
            .filter_map(|entry| entry.value.as_ref())
    }

    /// Where to listen for the calls of a network, in order: at the wildcard address of each external
    /// port or range that anything there is called at, or at each address and port of a public network.
    pub fn places(&self, network: &str) -> Vec<Place> {
        self.networks
            .get(network)
            .map(|entry| entry.places.keys().copied().collect())
            .unwrap_or_default()
    }

    /// Whether a place is one of [`Self::places`].
    pub fn is_place(&self, network: &str, at: &Place) -> bool {
        let entry = self.networks.get(network);
        entry.is_some_and(|entry| entry.places.contains_key(at))
    }

    /// The app that alone has an address on a network.
    pub fn app_at(&self, network: &str, ip: &IpAddr) -> Option<&Arc<App>> {
        let called = self.networks.get(network)?.called.get(ip)?;
        self.app(called.own.as_ref()?)
    }

    /// The apps that are called at the first port of a place of a network. Looks at all apps.
    pub fn apps_at(&self, network: &str, at: &Place) -> Vec<Name> {
        let here = |address: &Address| {
            let same = at.ip.is_unspecified() || address.ip == at.ip;
            same && *address.network == *network && address.offers(at.first)
        };
        let served = |entry: &&AppEntry| entry.ports(at.protocol).get(at.first).is_some();
        let serving = self.apps.values().filter(served);
        let apps = serving.filter_map(|entry| entry.value.as_ref());
        let called = apps.filter(|app| app.addresses.iter().any(here));
        called.map(|app| app.id.clone()).collect()
    }

    /// The Machine that an IPv6 address on a network belongs to: each has a whole /112.
    pub fn machine_at(&self, network: &str, ip: &Ipv6Addr) -> Option<&Arc<Machine>> {
        let id = self.networks.get(network)?.machines.get(&of_machine(ip))?;
        self.machine(id)
    }

    /// The started Machines of a network, those of one app together.
    pub fn started_on(&self, network: &str) -> impl Iterator<Item = &Arc<Machine>> {
        let entry = self.networks.get(network);
        let started = entry.into_iter().flat_map(|entry| entry.started.iter());
        started.filter_map(|(_, id)| self.machines.get(id))
    }

    /// The started Machines of an app on a network.
    pub fn started_of(&self, network: &str, app: &Name) -> impl Iterator<Item = &Arc<Machine>> {
        let first = (app.clone(), Name::default());
        let entry = self.networks.get(network);
        let started = entry
            .into_iter()
            .flat_map(move |entry| entry.started.range(first.clone()..));
        let own = started.take_while(move |(of, _)| of == app);
        own.filter_map(|(_, id)| self.machines.get(id))
    }

    /// All apps whose Machines are on this network, in no order.
    pub fn apps_of(&self, network: &str) -> impl Iterator<Item = &Arc<App>> {
        let entry = self.networks.get(network);
        let names = entry.into_iter().flat_map(|entry| entry.homes.iter());
        names.filter_map(|name| self.app(name))
    }

    /// The app with this name.
    pub fn app(&self, name: &str) -> Option<&Arc<App>> {
        self.apps.get(name)?.value.as_ref()
    }

    /// All apps, in no order.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.apps.values().filter_map(|entry| entry.value.as_ref())
    }

    /// The addresses of an app on one network.
    pub fn addresses(&self, app: &str, network: &str) -> impl Iterator<Item = IpAddr> {
        let app = self.app(app);
        let all = app.into_iter().flat_map(|app| app.addresses.iter());
        all.filter(move |address| *address.network == *network)
            .map(|address| address.ip)
    }

    /// The Machines of an app, in the order they came.
    pub fn machines_of(&self, app: &str) -> impl Iterator<Item = &Arc<Machine>> {
        let entry = self.apps.get(app);
        let ids = entry.into_iter().flat_map(|entry| entry.machines.iter());
        ids.filter_map(|id| self.machines.get(id))
    }

    /// The Machine with this id.
    pub fn machine(&self, id: &str) -> Option<&Arc<Machine>> {
        self.machines.get(id)
    }

    /// The port of an app where HTTP is spoken inside TLS: 443 or else the lowest.
    pub fn https_port(&self, app: &str) -> Option<u16> {
        let ports = &self.apps.get(app)?.tcp;
        let secure = |entry: &PortEntry| {
            let value = entry.value();
            value.is_some_and(|port| port.is_http() && Handling::of(port) == Handling::Tls)
        };
        if ports.get(HTTPS).is_some_and(secure) {
            return Some(HTTPS);
        }
        let mut found = ports.iter().filter(|(_, entry)| secure(entry));
        found.next().map(|(port, _)| port)
    }

    /// All Machines, in no order.
    pub fn machines(&self) -> impl Iterator<Item = &Arc<Machine>> {
        self.machines.values()
    }

    /// How many networks, apps and Machines there are.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (
            self.networks().count(),
            self.apps().count(),
            self.machines.len(),
        )
    }
}
