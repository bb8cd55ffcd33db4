//! Machines, and the ports their services give to their apps.

use std::sync::Arc;

use roost_wire::{Address, Machine, MachineState};

use super::network::of_machine;
use super::place::{Span, external_ports};
use super::{Table, Touched};

impl Table {
    pub(super) fn put_machine(&mut self, mut value: Machine, touched: &mut Touched) {
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
        self.add_ports(&value, touched);
        if let Some(old) = old {
            self.drop_ports(&old, touched);
        } else {
            let entry = self.apps.entry(value.app.clone()).or_default();
            entry.machines.push(value.id.clone());
        }
    }

    pub(super) fn del_machine(&mut self, id: &str, touched: &mut Touched) {
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
            entry.machines.insert(of_machine(&ip), machine.id.clone());
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
            && entry.machines.get(&of_machine(&ip)) == Some(&machine.id)
        {
            entry.machines.remove(&of_machine(&ip));
        }
        entry
            .started
            .remove(&(machine.app.clone(), machine.id.clone()));
        self.forget_empty_network(&machine.network);
    }

    fn add_ports(&mut self, machine: &Machine, touched: &mut Touched) {
        for (service, port) in external_ports(machine) {
            let entry = self.apps.entry(machine.app.clone()).or_default();
            let span = Span::of(service, port);
            entry.ports_mut(span.protocol).add(service, port);
            let count = entry.spans.entry(span).or_default();
            *count += 1;
            if *count == 1 {
                for address in self.addresses_of(&machine.app) {
                    self.count_places(&address, span, touched);
                }
            }
        }
    }

    fn drop_ports(&mut self, machine: &Machine, touched: &mut Touched) {
        for (service, port) in external_ports(machine) {
            let Some(entry) = self.apps.get_mut(&machine.app) else {
                return;
            };
            let span = Span::of(service, port);
            entry.ports_mut(span.protocol).drop(service, port);
            let Some(count) = entry.spans.get_mut(&span) else {
                continue;
            };
            *count = count.saturating_sub(1);
            if *count == 0 {
                entry.spans.remove(&span);
                for address in self.addresses_of(&machine.app) {
                    self.uncount_places(&address, span, touched);
                }
            }
        }
    }

    fn addresses_of(&self, app: &str) -> Vec<Address> {
        let app = self.app(app);
        app.map(|app| app.addresses.clone()).unwrap_or_default()
    }
}
