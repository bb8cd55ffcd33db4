//! Why a call got nothing.

use super::AppState;
use crate::Micros;
use crate::balance::{self, Ask, Standing};
use crate::decision::Refusal;
use crate::entry::Entry;
use crate::limits::MAX_NAMED;
use crate::queue::Waiter;
use crate::wish::Wish;

impl AppState {
    pub(super) fn why_late(&self, waiter: &Waiter, now: Micros) -> Refusal {
        let waited_ms = now.saturating_sub(waiter.since) / 1_000;
        let mut waking = None;
        let mut full = false;
        let mut failing = Vec::new();
        for entry in &self.entries {
            match balance::standing(entry, waiter.ask(), now) {
                Standing::Coming { .. } => {
                    let serving = entry.serving(waiter.port);
                    return Refusal::NotListening {
                        machine: entry.machine.id.clone(),
                        internal_port: serving.map_or(0, |(_, service)| service.inner.port),
                        waited_ms,
                    };
                }
                Standing::Waking => waking = Some(entry.machine.id.clone()),
                Standing::Untried { .. } | Standing::Failing { .. } => {
                    failing.extend(entry.failing(waiter.port));
                }
                Standing::Full => full = true,
                _ => {}
            }
        }
        failing.truncate(MAX_NAMED);
        match waking {
            Some(machine) => Refusal::WakeTimeout { machine, waited_ms },
            None if full || failing.is_empty() => Refusal::QueueTimeout(waited_ms),
            None => Refusal::Unhealthy {
                failing: failing.join("; "),
                waited_ms,
            },
        }
    }

    pub(super) fn why_none(&self, ask: Ask<'_>, served: bool) -> Refusal {
        if !served {
            return self.why_nobody(ask);
        }
        let states = self
            .entries
            .iter()
            .filter(|entry| ask.may_have(entry))
            .map(|entry| {
                let state = entry.machine.state.as_str();
                let cordoned = if entry.machine.cordoned {
                    ", cordoned"
                } else {
                    ""
                };
                format!("{} is {state}{cordoned}", entry.machine.id)
            });
        let states: Vec<String> = states.take(MAX_NAMED).collect();
        Refusal::NotStartable(states.join("; "))
    }

    /// Why no Machine stands to a call in any way.
    fn why_nobody(&self, ask: Ask<'_>) -> Refusal {
        let port = ask.port;
        let serving = |entry: &Entry| entry.serving(port).is_some();
        if self.entries.iter().any(|entry| ask.may_have(entry)) {
            return Refusal::Exhausted;
        }
        let only = ask.wish.and_then(Wish::only);
        match (only, ask.wish) {
            (Some(machine), _) => Refusal::NoSuchMachine {
                machine: machine.clone(),
                port,
            },
            (None, Some(wish)) if self.entries.iter().any(serving) => Refusal::NotInRegion {
                regions: wish.regions.join(","),
                port,
            },
            _ => Refusal::NotServed(port),
        }
    }
}
