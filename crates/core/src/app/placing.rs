//! Who gets which Machine: a new call, and those in line.

use roost_wire::TransportPort;

use super::AppState;
use crate::Micros;
use crate::balance::{self, Ask, Standing};
use crate::circuit;
use crate::decision::{Effect, Grant, Moment, Probe, Refusal, SlotKey};
use crate::entry::{Entry, Readiness};
use crate::queue::Blocked;

impl AppState {
    pub(super) fn choose(&self, ask: Ask<'_>, at: Moment<'_>) -> balance::Choice {
        balance::choose(&self.entries, ask, at)
    }

    /// A unit for a call, `None` when waiting makes sense. Wakes and probes on the way.
    pub(super) fn place(
        &mut self,
        ask: Ask<'_>,
        at: Moment<'_>,
        behind: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Grant>, Refusal> {
        let choice = self.choose(ask, at);
        if choice.unprobed {
            self.probe_all(ask.port, at.now, effects);
        }
        if choice.unhurried {
            self.hurry_all(ask.port, at.now, effects);
        }
        let woken = choice.wake.and_then(|index| self.entries.get_mut(index));
        let wakes = woken.map(|entry| {
            entry.waking = Some(at.now);
            self.active = true;
            effects.push(Effect::Wake(entry.machine.clone()));
        });
        match choice.best.and_then(|index| self.entries.get_mut(index)) {
            Some(entry) if !behind => Ok(reserve(entry, ask.port, at.now, &mut self.active)),
            Some(_) => Ok(None),
            None if choice.hope || wakes.is_some() => Ok(None),
            None => Err(self.why_none(ask, choice.served)),
        }
    }

    fn probe_all(&mut self, port: TransportPort, now: Micros, effects: &mut Vec<Effect>) {
        for entry in &mut self.entries {
            let unprobed = Standing::Coming { probing: false };
            if balance::standing_for(entry, port, &[], now) != unprobed {
                continue;
            }
            let Some((_, service)) = entry.serving(port) else {
                continue;
            };
            let inner = service.inner;
            effects.push(Effect::Probe(Probe {
                machine: entry.machine.clone(),
                epoch: entry.epoch,
                internal_port: inner.port,
                up_since: entry.up_since,
            }));
            if let Some(service) = entry.service_mut(inner) {
                service.readiness = Readiness::Probing;
            }
        }
    }

    /// Goes along the line: who can be served is, who cannot hope any more is told.
    pub(crate) fn settle(&mut self, at: Moment<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.guest || self.queue.is_empty() {
            return effects;
        }
        let mut blocked = Blocked::default();
        let mut line = self.queue.take();
        line.retain(|waiter| {
            if blocked.has(waiter) {
                return true;
            }
            match self.place(waiter.ask(), at, false, &mut effects) {
                Ok(Some(grant)) => effects.push(Effect::Grant(waiter.id, grant)),
                Ok(None) => {
                    blocked.add(waiter);
                    return true;
                }
                Err(refusal) => {
                    let failure = waiter.failure.clone().unwrap_or(refusal);
                    effects.push(Effect::Fail(waiter.id, failure));
                }
            }
            false
        });
        self.queue.restore(line);
        effects
    }

    /// A wake that did not come true in time is forgotten, so that another one may be tried.
    pub(super) fn expire_wakes(&mut self, at: Moment<'_>) {
        for entry in &mut self.entries {
            let late = |since: Micros| at.now.saturating_sub(since) >= at.limits.wake_timeout;
            if entry.waking.is_some_and(late) {
                entry.waking = None;
            }
        }
    }
}

fn reserve(
    entry: &mut Entry,
    port: TransportPort,
    now: Micros,
    active: &mut bool,
) -> Option<Grant> {
    let inner = entry.serving(port)?.1.inner;
    let one_port = entry.has_one_port(inner);
    let service = entry.service_mut(inner)?;
    service.load += 1;
    service.peak = service.peak.max(service.load);
    let before = service.circuit;
    service.circuit = before.after(circuit::Sign::Called, now);
    let trial = service.circuit != before;
    *active = true;
    let proven = service.readiness == Readiness::Ready;
    if !proven {
        service.readiness = Readiness::Probing;
    }
    let key = SlotKey {
        epoch: entry.epoch,
        inner,
        scout: !proven,
    };
    Some(Grant {
        key,
        machine: entry.machine.clone(),
        internal_port: inner.port,
        up_since: entry.up_since,
        proven,
        one_port,
        trial,
    })
}
