//! Whether the ports of Machines take calls.

use roost_wire::{Protocol, TransportPort};

use super::AppState;
use crate::Micros;
use crate::circuit;
use crate::decision::{Effect, Moment, ProbeWish, SlotKey};
use crate::entry::{Entry, Readiness};

impl AppState {
    /// The holder of a unit was refused by the Machine: it gets no calls until its port accepts.
    /// Release the unit as well.
    ///
    /// One UDP port of several says nothing about the others, of which one was taken before.
    pub fn refused(&mut self, key: SlotKey) {
        let entry = self
            .entries
            .iter_mut()
            .find(|entry| entry.epoch == key.epoch);
        let told = |entry: &&mut Entry| {
            key.inner.protocol != Protocol::Udp || entry.has_one_port(key.inner)
        };
        if let Some(service) = entry
            .filter(told)
            .and_then(|entry| entry.service_mut(key.inner))
            && service.readiness == Readiness::Ready
        {
            service.readiness = Readiness::Unknown;
        }
    }

    /// A port accepted. Gives the time since the Machine came up when that was news.
    pub fn ready(
        &mut self,
        epoch: u64,
        inner: impl Into<TransportPort>,
        at: Moment<'_>,
    ) -> (Option<Micros>, Vec<Effect>) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.epoch == epoch) else {
            return (None, Vec::new());
        };
        let (up, up_since) = (entry.machine.state.is_up(), entry.up_since);
        match entry.service_mut(inner.into()) {
            Some(service) if up && service.readiness != Readiness::Ready => {
                service.readiness = Readiness::Ready;
                let answered = circuit::Sign::Answered;
                service.circuit = service.circuit.after(answered, at.now);
                entry.false_starts = 0;
                (Some(at.now.saturating_sub(up_since)), self.settle(at))
            }
            _ => (None, Vec::new()),
        }
    }

    /// What the holder of a unit sent was taken. Gives the time since the Machine came up when that was news.
    pub fn accepted(&mut self, key: SlotKey, at: Moment<'_>) -> (Option<Micros>, Vec<Effect>) {
        self.ready(key.epoch, key.inner, at)
    }

    /// Asked by who tries a port, now and then. After [`ProbeWish::Stop`] it must not go on.
    pub fn probe_wish(&mut self, epoch: u64, internal_port: u16) -> ProbeWish {
        if self.guest {
            return ProbeWish::Stop;
        }
        let inner = TransportPort::from(internal_port);
        let ports: Vec<TransportPort> = self.queue.ports().collect();
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.epoch == epoch) else {
            return ProbeWish::Stop;
        };
        let up = entry.machine.state.is_up();
        let awaited = ports.into_iter().any(|port| {
            entry
                .serving(port)
                .is_some_and(|(_, service)| service.inner == inner)
        });
        match entry.service_mut(inner) {
            Some(service) if up && service.readiness != Readiness::Ready => {
                service.readiness = Readiness::Probing;
                if awaited {
                    ProbeWish::Eager
                } else {
                    ProbeWish::Lazy
                }
            }
            _ => ProbeWish::Stop,
        }
    }

    /// Who tried a port gave up.
    pub fn probe_ended(&mut self, epoch: u64, internal_port: u16) {
        let entry = self.entries.iter_mut().find(|entry| entry.epoch == epoch);
        if let Some(service) = entry.and_then(|entry| entry.service_mut(internal_port.into()))
            && service.readiness == Readiness::Probing
        {
            service.readiness = Readiness::Unknown;
        }
    }
}
