//! What is learned of a Machine's health: by its checks, and by the calls it got.

use roost_wire::TransportPort;

use crate::Micros;
use crate::app::AppState;
use crate::balance::{self, Standing};
use crate::circuit::{self, Circuit};
use crate::decision::{Effect, Fate, Moment, Run, RunWish, SlotKey};
use crate::entry::{Entry, inner};
use crate::health::Sign;

/// Machines of an app mostly serve the same ports, and a range may be large.
const PORTS_LOOKED_AT: usize = 4;

impl AppState {
    /// A health check was run. Says when to run it again, and lets those go on who waited for it.
    pub fn checked(&mut self, run: Run<'_>, at: Moment<'_>) -> (RunWish, Vec<Effect>) {
        let ports: Vec<TransportPort> = self.queue.ports().collect();
        let guest = self.guest;
        let entry = self.entries.iter_mut().find(|one| one.life() == run.life);
        let Some(entry) = entry.filter(|entry| entry.watch().is_some() && !guest) else {
            return (RunWish::Stop, Vec::new());
        };
        let sign = if run.passed {
            Sign::Passed
        } else {
            Sign::Failed { early: run.early }
        };
        let awaited: Vec<TransportPort> = ports
            .into_iter()
            .filter_map(|port| entry.serving(port))
            .map(|(_, service)| service.inner)
            .collect();
        let mut wish = RunWish::Usual;
        let mut changed = false;
        for service in &mut entry.services {
            let before = service.checkup.health();
            if service.checkup.note(run.check, sign) {
                changed |= service.checkup.health() != before;
                let wanted = awaited.contains(&service.inner);
                service.checkup.hurried = wanted && service.checkup.is_unproven();
                if service.checkup.hurried && !run.passed {
                    wish = RunWish::Eager;
                }
            }
        }
        let effects = if changed { self.settle(at) } else { Vec::new() };
        (wish, effects)
    }

    /// The holder of a unit got an answer of a Machine that it was a trial for.
    pub fn answered(&mut self, key: SlotKey, at: Moment<'_>) -> Vec<Effect> {
        let mut effects = self.note_fate(key, Fate::Answered, at);
        if !effects.is_empty() {
            effects.extend(self.settle(at));
        }
        effects
    }

    /// Takes a call's fate in.
    pub(crate) fn note_fate(&mut self, key: SlotKey, fate: Fate, at: Moment<'_>) -> Vec<Effect> {
        let sign = match fate {
            Fate::Unknown => circuit::Sign::Silent,
            Fate::Answered => circuit::Sign::Answered,
            Fate::Broken(_) => circuit::Sign::Broken {
                replaceable: self.is_replaceable(key, at.now),
            },
        };
        let entry = self.entries.iter_mut().find(|one| one.epoch == key.epoch);
        let Some(entry) = entry else {
            return Vec::new();
        };
        let machine = entry.machine.id.clone();
        let Some(service) = entry.service_mut(key.inner) else {
            return Vec::new();
        };
        let before = service.circuit;
        service.circuit = before.after(sign, at.now);
        let told = match (before, service.circuit, fate) {
            (Circuit::Open { .. }, Circuit::Open { .. }, _) => None,
            (_, opened @ Circuit::Open { .. }, Fate::Broken(code)) => {
                opened.pause().map(|pause| Effect::Ejected {
                    machine,
                    code,
                    pause,
                })
            }
            (Circuit::Open { .. } | Circuit::Trial { .. }, Circuit::Closed { .. }, _) => {
                Some(Effect::Restored(machine))
            }
            _ => None,
        };
        told.into_iter().collect()
    }

    /// Whether another Machine takes calls on a port that leads to this service.
    fn is_replaceable(&self, key: SlotKey, now: Micros) -> bool {
        let own = self.entries.iter().find(|one| one.epoch == key.epoch);
        let services = own.into_iter().flat_map(|own| own.machine.services.iter());
        let mut ports = services
            .filter(|service| inner(service) == key.inner)
            .flat_map(|service| service.ports.iter().map(|port| port.port))
            .map(|port| TransportPort { port, ..key.inner })
            .take(PORTS_LOOKED_AT);
        ports.any(|port| {
            let others = self.entries.iter().filter(|one| one.epoch != key.epoch);
            others
                .map(|other| balance::standing_for(other, port, &[], now))
                .any(|standing| matches!(standing, Standing::Open { .. } | Standing::Full))
        })
    }

    /// Somebody waits for Machines whose checks have not passed: they are run without delay.
    pub(crate) fn hurry_all(
        &mut self,
        port: TransportPort,
        now: Micros,
        effects: &mut Vec<Effect>,
    ) {
        for entry in &mut self.entries {
            if !is_unhurried(entry, port, now) {
                continue;
            }
            effects.push(Effect::Hurry(entry.machine.id.clone(), entry.life()));
            let inner = entry.serving(port).map(|(_, one)| one.inner);
            if let Some(service) = inner.and_then(|inner| entry.service_mut(inner)) {
                service.checkup.hurried = true;
            }
        }
    }
}

fn is_unhurried(entry: &Entry, port: TransportPort, now: Micros) -> bool {
    matches!(
        balance::standing_for(entry, port, &[], now),
        Standing::Untried { hurried: false } | Standing::Failing { hurried: false }
    )
}
