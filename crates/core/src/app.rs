//! The routing state of one app: who serves, who waits, who is being woken.
//!
//! Every transition is a method that changes the state and returns what the shell has to do. A unit
//! of load is reserved before the shell connects, so a hard limit holds exactly however many threads
//! call. Who has to wait stands in one first-come-first-served line; whoever it is that frees a place
//! gives it to the first in line that can use it.

use std::sync::Arc;

use roost_wire::{Machine, Name, Protocol, TransportPort};

use crate::Micros;
use crate::balance::{self, Ask, Standing};
use crate::circuit;
use crate::decision::{
    Effect, Fate, Grant, Moment, Plea, Probe, ProbeWish, Refusal, Request, SlotKey, Verdict,
    WaiterId,
};
use crate::entry::{Entry, Readiness, Turn};
use crate::health::Health;
use crate::limits::{MAX_FALSE_STARTS, MAX_NAMED};
use crate::queue::{Blocked, Queue, Waiter};
use crate::wish::Wish;

/// Load of one service: Machine, internal port, now and peak since the last report.
pub type LoadLine = (Name, TransportPort, u32, u32);

/// The routing state of one app.
#[derive(Debug, Default)]
pub struct AppState {
    pub(crate) entries: Vec<Entry>,
    pub(crate) queue: Queue,
    pub(crate) next_epoch: u64,
    pub(crate) active: bool,
    /// Another proxy has taken over and decides.
    pub(crate) guest: bool,
}

// === calls ===

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

    fn why_late(&self, waiter: &Waiter, now: Micros) -> Refusal {
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
}

// === Machines ===

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

// === placing ===

impl AppState {
    fn choose(&self, ask: Ask<'_>, at: Moment<'_>) -> balance::Choice {
        balance::choose(&self.entries, ask, at)
    }

    /// A unit for a call, `None` when waiting makes sense. Wakes and probes on the way.
    fn place(
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

    fn why_none(&self, ask: Ask<'_>, served: bool) -> Refusal {
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
    fn expire_wakes(&mut self, at: Moment<'_>) {
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

// === reports ===

impl AppState {
    /// Whether there is something to report; reporting ends it when nothing is used or awaited.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Load since the last report, one line per service that was used.
    pub fn report_load(&mut self) -> Vec<LoadLine> {
        let mut lines = Vec::new();
        for entry in &mut self.entries {
            for service in &mut entry.services {
                if service.peak > 0 {
                    let id = entry.machine.id.clone();
                    lines.push((id, service.inner, service.load, service.peak));
                }
                service.peak = service.load;
            }
        }
        let waking = self.entries.iter().any(|entry| entry.waking.is_some());
        self.active = waking || !self.queue.is_empty() || lines.iter().any(|line| line.2 > 0);
        lines
    }

    /// Machines whose wake is in flight; with `awaited` only those that somebody waits for.
    pub fn wakes(&self, awaited: bool) -> Vec<Arc<Machine>> {
        let wanted = |entry: &&Entry| {
            let waits = || self.queue.ports().any(|port| entry.serving(port).is_some());
            entry.waking.is_some() && (!awaited || waits())
        };
        self.entries
            .iter()
            .filter(wanted)
            .map(|entry| entry.machine.clone())
            .collect()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Load of all Machines together.
    pub fn load(&self) -> u32 {
        self.entries.iter().map(Entry::load).sum()
    }
}
