//! When another proxy takes over: its state counts for both, and the one before it asks.
//!
//! A hard limit holds over two processes since only one of them reserves. The elder's state goes on
//! counting what it holds, but reserves nothing itself: whoever wants a unit stands in line and is asked
//! for ([`Effect::Ask`]); the heir's state counts the elder's units like those of its own callers.

use std::sync::Arc;

use roost_wire::{Machine, Name, Protocol, TransportPort};

use crate::AppState;
use crate::decision::{Effect, Grant, Moment, Plea, Refusal, SlotKey, WaiterId, Watch};
use crate::entry::Entry;

/// What another proxy has to know of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandedOver {
    /// Machine, internal port, units.
    pub units: Vec<(Name, TransportPort, u32)>,
    /// Machines that were drained and not put since.
    pub draining: Vec<Name>,
    /// Who waits, first come first.
    pub asks: Vec<Plea>,
}

impl AppState {
    /// From now on another state decides; who waits is asked for there. May be called again: for the
    /// next heir.
    pub fn hand_over(&mut self) -> HandedOver {
        self.guest = true;
        let mut handed = HandedOver::default();
        for entry in &mut self.entries {
            entry.let_go();
            let id = &entry.machine.id;
            if entry.draining {
                handed.draining.push(id.clone());
            }
            let used = entry.services.iter().filter(|service| service.load > 0);
            let units = used.map(|service| (id.clone(), service.inner, service.load));
            handed.units.extend(units);
        }
        let asks = self.queue.iter_mut().map(|waiter| Plea {
            waiter: waiter.id,
            port: waiter.port,
            exclude: waiter.exclude.clone(),
            wish: waiter.wish.clone(),
        });
        handed.asks.extend(asks);
        handed
    }

    /// The Machines whose health is checked here, and is not while another state decides.
    pub fn watched(&self) -> impl Iterator<Item = Watch> {
        self.entries.iter().filter_map(Entry::watch)
    }

    /// Nothing came of it: this state decides again.
    pub fn take_back(&mut self, at: Moment<'_>) -> Vec<Effect> {
        self.guest = false;
        let watched = self.entries.iter().filter_map(Entry::watch_again);
        let mut effects: Vec<Effect> = watched.map(Effect::Watch).collect();
        effects.extend(self.settle(at));
        effects
    }

    /// Whether another state decides.
    pub fn is_guest(&self) -> bool {
        self.guest
    }

    /// The other state gave a unit to one who waits; `None` when it had left the line already.
    pub fn granted(
        &mut self,
        waiter: WaiterId,
        machine: &Arc<Machine>,
        inner: TransportPort,
        at: Moment<'_>,
    ) -> Option<Grant> {
        self.queue.remove(waiter)?;
        self.learn(machine, inner, at);
        self.count_unit(&machine.id, inner)
    }

    /// Takes a Machine's value from the other state, when its own put is still to come.
    fn learn(&mut self, machine: &Arc<Machine>, inner: TransportPort, at: Moment<'_>) {
        let known = |entry: &&mut Entry| entry.machine.id == machine.id;
        if let Some(entry) = self.entries.iter_mut().find(known) {
            if entry.service_mut(inner).is_none() {
                entry.put(machine.clone(), at.now);
            }
            return;
        }
        self.next_epoch += 1;
        let entry = Entry::new(machine.clone(), self.next_epoch, at.now);
        self.entries.push(entry);
    }

    /// The other state had nothing for one who waits; `None` when it had left the line already.
    pub fn refused_there(&mut self, waiter: WaiterId, refusal: Refusal) -> Option<Effect> {
        self.queue.remove(waiter)?;
        Some(Effect::Fail(waiter, refusal))
    }

    /// Counts a unit that somebody holds already, whatever the limits; `None` when there is no such
    /// Machine or port.
    pub fn count_unit(&mut self, machine: &str, inner: TransportPort) -> Option<Grant> {
        let same = |entry: &&mut Entry| *entry.machine.id == *machine;
        let entry = self.entries.iter_mut().find(same)?;
        let key = SlotKey {
            epoch: entry.epoch,
            inner,
            scout: false,
        };
        let one_port = entry.has_one_port(inner);
        let service = entry.service_mut(inner)?;
        service.load += 1;
        service.peak = service.peak.max(service.load);
        self.active = true;
        Some(Grant {
            key,
            machine: entry.machine.clone(),
            internal_port: inner.port,
            up_since: entry.up_since,
            // Of UDP the other state does not say.
            proven: inner.protocol != Protocol::Udp,
            one_port,
            trial: false,
        })
    }

    /// Goes on with a drain that another state began.
    pub fn continue_drain(&mut self, machine: &str) {
        let same = |entry: &&mut Entry| *entry.machine.id == *machine;
        if let Some(entry) = self.entries.iter_mut().find(same) {
            entry.draining = true;
        }
    }

    /// Whether a unit is still counted: its Machine was not removed meanwhile.
    pub fn counts(&self, key: SlotKey) -> bool {
        self.entries.iter().any(|entry| entry.epoch == key.epoch)
    }
}
