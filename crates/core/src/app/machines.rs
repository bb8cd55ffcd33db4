//! Machines that come, change and go, and wakes that fail.

use std::sync::Arc;

use roost_wire::{Machine, Name};

use super::AppState;
use crate::decision::{Effect, Moment, Refusal};
use crate::entry::{Entry, Turn};
use crate::limits::MAX_FALSE_STARTS;

impl AppState {
    /// A Machine was created or changed.
    pub fn put(&mut self, machine: Arc<Machine>, at: Moment<'_>) -> Vec<Effect> {
        let guest = self.guest;
        let watch_of = |entry: &Entry| entry.watch().filter(|_| !guest);
        let known = self
            .entries
            .iter_mut()
            .find(|entry| entry.machine.id == machine.id);
        let Some(entry) = known else {
            self.next_epoch += 1;
            let entry = Entry::new(machine, self.next_epoch, at.now);
            let mut effects: Vec<Effect> =
                watch_of(&entry).map(Effect::Watch).into_iter().collect();
            self.entries.push(entry);
            effects.extend(self.settle(at));
            return effects;
        };
        let watched = watch_of(entry).is_some();
        let asked = entry.waking.is_some();
        let was = entry.machine.state;
        let turn = entry.put(machine.clone(), at.now);
        let mut effects = Vec::new();
        match watch_of(entry) {
            Some(watch) => effects.push(Effect::Watch(watch)),
            None if watched => effects.push(Effect::Unwatch(machine.id.clone())),
            None => {}
        }
        if turn == Turn::FalseStart {
            self.false_start(&machine);
        }
        // The agent may have put an earlier wake aside while the Machine was on its way down.
        if asked && was != machine.state && !machine.state.is_up() {
            effects.push(Effect::Wake(machine));
        }
        effects.extend(self.settle(at));
        effects
    }

    /// A Machine is gone.
    pub fn remove(&mut self, machine: &str, at: Moment<'_>) -> Vec<Effect> {
        let gone = |entry: &Entry| *entry.machine.id == *machine;
        let watched = self.entries.iter().find(|entry| gone(entry));
        let watched = watched.and_then(Entry::watch);
        self.entries.retain(|entry| !gone(entry));
        let ended = watched.map(|watch| Effect::Unwatch(watch.machine.id.clone()));
        let mut effects: Vec<Effect> = ended.into_iter().collect();
        effects.extend(self.settle(at));
        effects
    }

    /// Takes no new work for a Machine until its next `put`. With `if_idle` only when nothing uses or
    /// awaits it. Gives whether it took hold, and the load.
    pub fn drain(
        &mut self,
        machine: &str,
        if_idle: bool,
        at: Moment<'_>,
    ) -> Option<(bool, u32, Vec<Effect>)> {
        let index = self
            .entries
            .iter()
            .position(|entry| *entry.machine.id == *machine)?;
        let entry = self.entries.get_mut(index)?;
        let load = entry.load();
        let awaited = self.queue.ports().any(|port| entry.serving(port).is_some());
        if if_idle && (load > 0 || awaited) {
            return Some((false, load, Vec::new()));
        }
        entry.draining = true;
        Some((true, load, self.settle(at)))
    }

    /// The agent could not start a Machine: those who wait for it try another one or get the error.
    pub fn wake_failed(
        &mut self,
        machine: &str,
        code: &Name,
        message: &Name,
        at: Moment<'_>,
    ) -> Vec<Effect> {
        let Some(entry) = self
            .entries
            .iter_mut()
            .find(|entry| *entry.machine.id == *machine)
        else {
            return Vec::new();
        };
        entry.waking = None;
        if !entry.machine.state.is_up() {
            let refusal = Refusal::WakeFailed {
                code: code.clone(),
                message: message.clone(),
            };
            let entry = entry.clone();
            self.give_up_on(&entry, &refusal);
        }
        self.settle(at)
    }

    fn false_start(&mut self, machine: &Arc<Machine>) {
        let Some(entry) = self
            .entries
            .iter_mut()
            .find(|entry| entry.machine.id == machine.id)
        else {
            return;
        };
        let awaited = self.queue.ports().any(|port| entry.serving(port).is_some());
        entry.false_starts = if awaited { entry.false_starts + 1 } else { 0 };
        if entry.false_starts >= MAX_FALSE_STARTS {
            entry.false_starts = 0;
            entry.waking = None;
            let entry = entry.clone();
            self.give_up_on(&entry, &Refusal::FalseStarts(machine.id.clone()));
        }
    }

    fn give_up_on(&mut self, entry: &Entry, refusal: &Refusal) {
        for waiter in self
            .queue
            .iter_mut()
            .filter(|waiter| waiter.ask().may_have(entry))
        {
            waiter.exclude.push(entry.machine.id.clone());
            waiter.failure = Some(refusal.clone());
        }
    }
}
