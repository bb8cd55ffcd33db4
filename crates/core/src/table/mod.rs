//! The routing table: what the agent put, and the indexes that accepting and DNS need.
//!
//! Adding or removing one app or Machine costs the same whatever the size of the table: the ports a
//! network listens on are reference counts, never recomputed from all apps.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use roost_wire::{App, Entity, Kind, Machine, MachineState, Name, Network, Port, Protocol};

/// What a change of the table asks the shell to look at again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// Networks that gained or lost a port, their namespace or themselves.
    pub networks: BTreeSet<Name>,
}

/// All networks, apps and Machines the agent put.
#[derive(Debug, Default)]
pub struct Table {
    networks: HashMap<Name, NetworkEntry>,
    apps: HashMap<Name, AppEntry>,
    machines: HashMap<Name, Arc<Machine>>,
    words: HashSet<Name>,
}

#[derive(Debug, Default)]
struct NetworkEntry {
    value: Option<Arc<Network>>,
    ports: BTreeMap<u16, usize>,
    by_ip: HashMap<IpAddr, Name>,
    /// The apps whose Machines are on it.
    homes: HashSet<Name>,
    /// Machines by their 6PN address.
    machines: HashMap<Ipv6Addr, Name>,
    /// Its started Machines, app and id: asking for them costs nothing for those asleep.
    started: BTreeSet<(Name, Name)>,
}

#[derive(Debug, Default)]
struct AppEntry {
    value: Option<Arc<App>>,
    machines: Vec<Name>,
    ports: BTreeMap<u16, (usize, Arc<Port>)>,
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

    /// The external TCP ports anything on this network is called at, ascending.
    pub fn ports(&self, network: &str) -> Vec<u16> {
        self.networks
            .get(network)
            .map(|entry| entry.ports.keys().copied().collect())
            .unwrap_or_default()
    }

    /// The app called at a Flycast address of a network.
    pub fn app_at(&self, network: &str, ip: &IpAddr) -> Option<&Arc<App>> {
        let name = self.networks.get(network)?.by_ip.get(ip)?;
        self.app(name)
    }

    /// The Machine that has a 6PN address on a network.
    pub fn machine_at(&self, network: &str, ip: &Ipv6Addr) -> Option<&Arc<Machine>> {
        let id = self.networks.get(network)?.machines.get(ip)?;
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

    /// All apps with an address on this network, each once per address, in no order.
    pub fn apps_called_on(&self, network: &str) -> impl Iterator<Item = &Arc<App>> {
        let entry = self.networks.get(network);
        let names = entry.into_iter().flat_map(|entry| entry.by_ip.values());
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

    /// The Flycast addresses of an app on one network.
    pub fn addresses(&self, app: &str, network: &str) -> impl Iterator<Item = IpAddr> {
        let app = self.app(app);
        let all = app.into_iter().flat_map(|app| app.addresses.iter());
        all.filter(move |address| *address.network == *network)
            .map(|address| address.ip)
    }

    /// How an external port of an app is handled; the latest word of any of its Machines.
    pub fn port(&self, app: &str, port: u16) -> Option<&Arc<Port>> {
        self.apps.get(app)?.ports.get(&port).map(|(_, value)| value)
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

// === networks ===

impl Table {
    fn put_network(&mut self, value: Network, touched: &mut Touched) {
        touched.networks.insert(value.id.clone());
        let entry = self.networks.entry(value.id.clone()).or_default();
        entry.value = Some(Arc::new(value));
    }

    fn del_network(&mut self, id: &str, touched: &mut Touched) {
        if let Some(entry) = self.networks.get_mut(id) {
            entry.value = None;
            touched.networks.insert(Name::from(id));
            self.forget_empty_network(id);
        }
    }

    fn forget_empty_network(&mut self, id: &str) {
        let empty = |entry: &NetworkEntry| {
            let unused = entry.ports.is_empty() && entry.by_ip.is_empty();
            entry.value.is_none()
                && unused
                && entry.homes.is_empty()
                && entry.machines.is_empty()
                && entry.started.is_empty()
        };
        if self.networks.get(id).is_some_and(empty) {
            self.networks.remove(id);
        }
    }

    fn count_port(&mut self, network: &Name, port: u16, touched: &mut Touched) {
        let entry = self.networks.entry(network.clone()).or_default();
        let count = entry.ports.entry(port).or_default();
        *count += 1;
        if *count == 1 {
            touched.networks.insert(network.clone());
        }
    }

    fn uncount_port(&mut self, network: &Name, port: u16, touched: &mut Touched) {
        let Some(entry) = self.networks.get_mut(network) else {
            return;
        };
        let Some(count) = entry.ports.get_mut(&port) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            entry.ports.remove(&port);
            touched.networks.insert(network.clone());
            self.forget_empty_network(network);
        }
    }
}

// === apps ===

impl Table {
    fn put_app(&mut self, mut value: App, touched: &mut Touched) {
        value.network = self.shared_word(value.network);
        value.org = self.shared_word(value.org);
        for address in &mut value.addresses {
            address.network = self.shared_word(address.network.clone());
        }
        self.unlink_addresses(&value.id, touched);
        let ports = self.ports_of(&value.id);
        for address in &value.addresses {
            let entry = self.networks.entry(address.network.clone()).or_default();
            entry.by_ip.insert(address.ip, value.id.clone());
            for port in &ports {
                self.count_port(&address.network, *port, touched);
            }
        }
        let home = self.networks.entry(value.network.clone()).or_default();
        home.homes.insert(value.id.clone());
        let entry = self.apps.entry(value.id.clone()).or_default();
        entry.value = Some(Arc::new(value));
    }

    fn del_app(&mut self, id: &str, touched: &mut Touched) {
        self.unlink_addresses(id, touched);
        if let Some(entry) = self.apps.get_mut(id) {
            entry.value = None;
            self.forget_empty_app(id);
        }
    }

    fn unlink_addresses(&mut self, app: &str, touched: &mut Touched) {
        let Some(old) = self.app(app).cloned() else {
            return;
        };
        let ports = self.ports_of(app);
        for address in &old.addresses {
            if let Some(entry) = self.networks.get_mut(&address.network)
                && entry.by_ip.get(&address.ip) == Some(&old.id)
            {
                entry.by_ip.remove(&address.ip);
            }
            for port in &ports {
                self.uncount_port(&address.network, *port, touched);
            }
            self.forget_empty_network(&address.network);
        }
        if let Some(home) = self.networks.get_mut(&old.network) {
            home.homes.remove(&old.id);
            self.forget_empty_network(&old.network);
        }
    }

    fn ports_of(&self, app: &str) -> Vec<u16> {
        let entry = self.apps.get(app);
        entry
            .map(|entry| entry.ports.keys().copied().collect())
            .unwrap_or_default()
    }

    fn forget_empty_app(&mut self, id: &str) {
        let empty = |entry: &AppEntry| entry.value.is_none() && entry.machines.is_empty();
        if self.apps.get(id).is_some_and(empty) {
            self.apps.remove(id);
        }
    }

    /// The one shared copy of a word that many entries repeat.
    fn shared_word(&mut self, word: Name) -> Name {
        if let Some(known) = self.words.get(&word) {
            return known.clone();
        }
        if self.words.len() == self.words.capacity() {
            self.words.retain(|word| Arc::strong_count(word) > 1);
        }
        self.words.insert(word.clone());
        word
    }
}

// === machines ===

impl Table {
    fn put_machine(&mut self, mut value: Machine, touched: &mut Touched) {
        value.network = self.shared_word(value.network);
        value.region = self.shared_word(value.region);
        value.group = self.shared_word(value.group);
        let moved = self
            .machines
            .get(&value.id)
            .is_some_and(|old| old.app != value.app);
        if moved {
            self.del_machine(&value.id.clone(), touched);
        }
        if let Some(known) = self.app(&value.app) {
            value.app = known.id.clone();
        }
        let value = Arc::new(value);
        let old = self.machines.insert(value.id.clone(), value.clone());
        if let Some(old) = &old {
            self.unlink_machine(old);
        }
        self.link_machine(&value);
        for port in external_ports(&value) {
            self.add_port(&value.app, port, touched);
        }
        if let Some(old) = old {
            self.drop_ports(&old, touched);
        } else {
            let entry = self.apps.entry(value.app.clone()).or_default();
            entry.machines.push(value.id.clone());
        }
    }

    fn del_machine(&mut self, id: &str, touched: &mut Touched) {
        let Some(old) = self.machines.remove(id) else {
            return;
        };
        self.unlink_machine(&old);
        self.drop_ports(&old, touched);
        if let Some(entry) = self.apps.get_mut(&old.app) {
            entry.machines.retain(|machine| **machine != *id);
            self.forget_empty_app(&old.app);
        }
    }

    fn link_machine(&mut self, machine: &Machine) {
        let started = machine.state == MachineState::Started;
        if machine.ip6.is_none() && !started {
            return;
        }
        let entry = self.networks.entry(machine.network.clone()).or_default();
        if let Some(ip) = machine.ip6 {
            entry.machines.insert(ip, machine.id.clone());
        }
        if started {
            entry
                .started
                .insert((machine.app.clone(), machine.id.clone()));
        }
    }

    fn unlink_machine(&mut self, machine: &Machine) {
        let Some(entry) = self.networks.get_mut(&machine.network) else {
            return;
        };
        if let Some(ip) = machine.ip6
            && entry.machines.get(&ip) == Some(&machine.id)
        {
            entry.machines.remove(&ip);
        }
        entry
            .started
            .remove(&(machine.app.clone(), machine.id.clone()));
        self.forget_empty_network(&machine.network);
    }

    fn add_port(&mut self, app: &Name, port: &Port, touched: &mut Touched) {
        let entry = self.apps.entry(app.clone()).or_default();
        if let Some((count, known)) = entry.ports.get_mut(&port.port) {
            *count += 1;
            if **known != *port {
                *known = Arc::new(port.clone());
            }
            return;
        }
        entry.ports.insert(port.port, (1, Arc::new(port.clone())));
        for network in self.called_from(app) {
            self.count_port(&network, port.port, touched);
        }
    }

    fn drop_ports(&mut self, machine: &Machine, touched: &mut Touched) {
        for port in external_ports(machine) {
            let port = port.port;
            let Some(entry) = self.apps.get_mut(&machine.app) else {
                return;
            };
            let Some((count, _)) = entry.ports.get_mut(&port) else {
                continue;
            };
            *count = count.saturating_sub(1);
            if *count == 0 {
                entry.ports.remove(&port);
                for network in self.called_from(&machine.app) {
                    self.uncount_port(&network, port, touched);
                }
            }
        }
    }

    /// The network of each address of an app, as often as it has addresses there.
    fn called_from(&self, app: &str) -> Vec<Name> {
        let addresses = self.app(app).map(|app| app.addresses.iter());
        addresses
            .into_iter()
            .flatten()
            .map(|address| address.network.clone())
            .collect()
    }
}

/// The external TCP ports of a Machine, each once.
fn external_ports(machine: &Machine) -> impl Iterator<Item = &Port> {
    let tcp = machine
        .services
        .iter()
        .filter(|service| service.protocol == Protocol::Tcp);
    let mut seen = BTreeSet::new();
    tcp.flat_map(|service| service.ports.iter())
        .filter(move |port| seen.insert(port.port))
}
