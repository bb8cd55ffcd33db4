//! The routing table as the names of one network.

use std::net::{IpAddr, Ipv6Addr};

use roost_core::Table;
use roost_dns::{MachineView, NetworkView, Owner};
use roost_wire::{App, Machine, MachineState};

use crate::shared::Shared;

/// One network's share of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'t> {
    table: &'t Table,
    shared: &'t Shared,
    network: &'t str,
    prefix: Ipv6Addr,
}

/// A Machine that has an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    machine: &'a Machine,
    address: Ipv6Addr,
}

// === impl View ===

impl<'t> View<'t> {
    /// The view from `network`.
    pub(super) fn new(
        table: &'t Table,
        shared: &'t Shared,
        network: &'t str,
        prefix: Ipv6Addr,
    ) -> Self {
        Self {
            table,
            shared,
            network,
            prefix,
        }
    }

    /// The app if its Machines are on this network.
    fn app(&self, name: &str) -> Option<&'t App> {
        let app = self.table.app(name)?;
        (*app.network == *self.network).then_some(&**app)
    }

    /// The Machine if it is on this network and has its address.
    fn see<'a>(&self, machine: &'a Machine) -> Option<Seen<'a>> {
        let address = machine.ip6.filter(|_| *machine.network == *self.network)?;
        Some(Seen { machine, address })
    }
}

impl<'t> NetworkView for View<'t> {
    type Machine<'a>
        = Seen<'a>
    where
        Self: 'a;

    fn prefix(&self) -> Ipv6Addr {
        self.prefix
    }

    fn distance(&self, region: &str) -> u32 {
        u32::from(*self.shared.config().region != *region)
    }

    fn machines(&self, app: &str) -> Option<impl Iterator<Item = Seen<'_>>> {
        let machines = self.table.machines_of(&self.app(app)?.id);
        Some(machines.filter_map(|machine| self.see(machine)))
    }

    fn started(&self, app: &str) -> impl Iterator<Item = Seen<'_>> {
        let started = |app: &'t App| self.table.started_of(self.network, &app.id);
        let machines = self.app(app).into_iter().flat_map(started);
        machines.filter_map(|machine| self.see(machine))
    }

    fn all_started(&self) -> impl Iterator<Item = Seen<'_>> {
        let machines = self.table.started_on(self.network);
        machines.filter_map(|machine| self.see(machine))
    }

    fn machine(&self, id: &str) -> Option<Seen<'_>> {
        self.table.machine(id).and_then(|machine| self.see(machine))
    }

    fn source_key(&self) -> Option<String> {
        let config = self.shared.config();
        Some(config.signer.as_ref()?.record().to_owned())
    }

    fn apps(&self) -> impl Iterator<Item = &str> {
        self.table.apps_of(self.network).map(|app| &*app.id)
    }

    fn flycast(&self, app: &str) -> impl Iterator<Item = Ipv6Addr> {
        let addresses = self.table.addresses(app, self.network);
        addresses.filter_map(|address| match address {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        })
    }

    fn owner(&self, address: Ipv6Addr) -> Option<Owner<'_, Seen<'_>>> {
        if let Some(app) = self.table.app_at(self.network, &address.into()) {
            return Some(Owner::Flycast(&app.id));
        }
        let machine = self.table.machine_at(self.network, &address)?;
        // The rest of its /112 has no name.
        let seen = self.see(machine).filter(|seen| seen.address == address);
        seen.map(Owner::Machine)
    }
}

// === impl Seen ===

impl MachineView for Seen<'_> {
    fn id(&self) -> &str {
        &self.machine.id
    }

    fn app(&self) -> &str {
        &self.machine.app
    }

    fn region(&self) -> &str {
        &self.machine.region
    }

    fn group(&self) -> &str {
        &self.machine.group
    }

    fn address(&self) -> Ipv6Addr {
        self.address
    }

    fn started(&self) -> bool {
        self.machine.state == MachineState::Started
    }

    fn listed(&self) -> bool {
        self.machine.dns
    }

    fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.machine.metadata.iter();
        pairs.map(|(key, value)| (&**key, &**value))
    }
}
