//! Calls: a unit of load, or a place in line, until it is given back.

use super::AppState;
use crate::decision::{Effect, Fate, Moment, Plea, Refusal, Request, SlotKey, Verdict, WaiterId};
use crate::entry::Readiness;
use crate::health::Health;

impl AppState {
    /// Reserves a unit of load for a call, or puts it in line.
    pub fn acquire(&mut self, request: Request<'_>, at: Moment<'_>) -> (Verdict, Vec<Effect>) {
        if self.guest {
            return self.plead(request, at);
        }
        self.expire_wakes(at);
        let mut effects = Vec::new();
        // Who comes later must not pass those who wait for the same port.
        let behind = self.queue.waits_for(request.port);
        let found = self.place(request.ask(), at, behind, &mut effects);
        let verdict = match found {
            Ok(Some(grant)) => Verdict::Use(grant),
            Ok(None) => {
                let verdict = self.enqueue(request, at);
                if behind {
                    effects.extend(self.settle(at));
                }
                verdict
            }
            Err(refusal) => Verdict::Refuse(refusal),
        };
        (verdict, effects)
    }

    /// Gives a unit back. Says whether the Machine goes on taking calls, so that a connection to it
    /// may be kept.
    pub fn release(&mut self, key: SlotKey, fate: Fate, at: Moment<'_>) -> (bool, Vec<Effect>) {
        let mut effects = self.note_fate(key, fate, at);
        let Some(entry) = self
            .entries
            .iter_mut()
            .find(|entry| entry.epoch == key.epoch)
        else {
            return (false, effects);
        };
        let mut takes_calls = entry.machine.state.is_up() && !entry.draining && !self.guest;
        if let Some(service) = entry.service_mut(key.inner) {
            service.load = service.load.saturating_sub(1);
            if key.scout && service.readiness == Readiness::Probing {
                service.readiness = Readiness::Unknown;
            }
            takes_calls &= service.checkup.health() == Health::Passing;
        }
        effects.extend(self.settle(at));
        (takes_calls, effects)
    }

    /// Who waited does not any more. `false` when it had left the line already.
    pub fn cancel(&mut self, waiter: WaiterId) -> bool {
        self.queue.remove(waiter).is_some()
    }

    /// A waiter's deadline passed. `None` when it had left the line already.
    pub fn timed_out(
        &mut self,
        waiter: WaiterId,
        at: Moment<'_>,
    ) -> Option<(Refusal, Vec<Effect>)> {
        let waiter = self.queue.remove(waiter)?;
        let refusal = self.why_late(&waiter, at.now);
        self.expire_wakes(at);
        Some((refusal, self.settle(at)))
    }

    /// A place in the line of those for whom another proxy is asked.
    fn plead(&mut self, request: Request<'_>, at: Moment<'_>) -> (Verdict, Vec<Effect>) {
        let verdict = self.enqueue(request, at);
        let effects = match verdict {
            Verdict::Wait { waiter, .. } => vec![Effect::Ask(Plea {
                waiter,
                port: request.port,
                exclude: request.exclude.to_vec(),
                wish: request.wish.cloned().map(Box::new),
            })],
            Verdict::Use(_) | Verdict::Refuse(_) => Vec::new(),
        };
        (verdict, effects)
    }

    /// The verdict and a place in line; effects of the same `acquire` may already speak of it.
    fn enqueue(&mut self, request: Request<'_>, at: Moment<'_>) -> Verdict {
        let held_bytes = self.queue.held_bytes().saturating_add(request.held_bytes);
        if self.queue.len() >= at.limits.max_waiters || held_bytes > at.limits.max_held_bytes {
            return Verdict::Refuse(Refusal::QueueFull);
        }
        let choice = self.choose(request.ask(), at);
        let patience = if choice.full || choice.unhealthy {
            at.limits.queue_timeout
        } else {
            at.limits.wake_timeout
        };
        let deadline = at.now.saturating_add(patience);
        Verdict::Wait {
            waiter: self.queue.push(request, at.now),
            deadline,
        }
    }
}
