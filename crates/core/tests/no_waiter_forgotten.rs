//! Random events: hard limits hold exactly, and nobody who waits is forgotten.

#![allow(missing_docs)]
// A test says what is wrong by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::collections::{HashMap, HashSet};

use common::{at, limits, machine};
use proptest::prelude::*;
use roost_core::{
    AppState, Effect, Fate, Grant, Life, Limits, Request, Run, Verdict, WaiterId, Wish,
};
use roost_wire::MachineState;
use serde_json::json;

const STATES: [MachineState; 6] = [
    MachineState::Started,
    MachineState::Starting,
    MachineState::Stopped,
    MachineState::Suspended,
    MachineState::Stopping,
    MachineState::Created,
];
const HARD: u32 = 3;

#[derive(Debug, Clone)]
enum Event {
    Call(usize),
    Release(usize, bool),
    Answered(usize),
    Checked(usize, bool, bool),
    Put(usize, usize, bool),
    Remove(usize),
    Drain(usize, bool),
    Accepts(usize),
    Refused(usize),
    WakeFailed(usize),
    Cancel(usize),
    Late(usize),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..12_usize).prop_map(Event::Call),
        5 => (any::<usize>(), any::<bool>()).prop_map(|(pick, good)| Event::Release(pick, good)),
        1 => any::<usize>().prop_map(Event::Answered),
        4 => (0..4_usize, any::<bool>(), any::<bool>())
            .prop_map(|(id, passed, early)| Event::Checked(id, passed, early)),
        4 => (0..4_usize, 0..STATES.len(), any::<bool>())
            .prop_map(|(id, state, cordoned)| Event::Put(id, state, cordoned)),
        1 => (0..4_usize).prop_map(Event::Remove),
        1 => (0..4_usize, any::<bool>()).prop_map(|(id, idle)| Event::Drain(id, idle)),
        3 => any::<usize>().prop_map(Event::Accepts),
        1 => any::<usize>().prop_map(Event::Refused),
        1 => (0..4_usize).prop_map(Event::WakeFailed),
        1 => any::<usize>().prop_map(Event::Cancel),
        1 => any::<usize>().prop_map(Event::Late),
        1 => (1..2_000_000_u64).prop_map(Event::Pass),
    ]
}

/// Most callers take any Machine, some would have one, or no other.
fn wish(taste: usize) -> Option<Wish> {
    (taste < 4).then(|| Wish {
        instance: (taste < 3).then(|| format!("m{taste}").into()),
        regions: vec!["there".into()],
        strict: taste == 1,
    })
}

struct World {
    state: AppState,
    limits: Limits,
    now: u64,
    held: Vec<Grant>,
    waiting: Vec<WaiterId>,
    probes: Vec<(u64, u16)>,
    wakes: HashSet<String>,
    lives: HashMap<String, Life>,
}

impl World {
    fn new() -> Self {
        Self {
            state: AppState::default(),
            limits: Limits {
                max_waiters: 1_000,
                ..limits()
            },
            now: 1,
            held: Vec::new(),
            waiting: Vec::new(),
            probes: Vec::new(),
            wakes: HashSet::new(),
            lives: HashMap::new(),
        }
    }

    fn absorb(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Grant(waiter, grant) => {
                    self.leave(waiter);
                    self.held.push(grant);
                }
                Effect::Fail(waiter, _) => self.leave(waiter),
                Effect::Wake(machine) => {
                    self.wakes.insert(machine.id.to_string());
                }
                Effect::Probe(probe) => self.probes.push((probe.epoch, probe.internal_port)),
                Effect::Ask(ask) => panic!("{ask:?}: nobody has taken over"),
                Effect::Watch(watch) => {
                    self.lives.insert(watch.machine.id.to_string(), watch.life);
                }
                Effect::Unwatch(machine) => {
                    self.lives.remove(&*machine);
                }
                Effect::Hurry(machine, life) => assert_eq!(self.lives.get(&*machine), Some(&life)),
                Effect::Ejected { .. } | Effect::Restored(_) => {}
            }
        }
    }

    fn leave(&mut self, waiter: WaiterId) {
        let place = self.waiting.iter().position(|known| *known == waiter);
        self.waiting
            .remove(place.expect("an answer for somebody who does not wait"));
    }

    fn step(&mut self, event: &Event) {
        self.now += 1;
        let limits = self.limits.clone();
        let moment = at(&limits, self.now);
        let id = |number: &usize| format!("m{number}");
        let effects = match event {
            Event::Call(taste) => {
                let wish = wish(*taste);
                let request = Request {
                    port: 80.into(),
                    exclude: &[],
                    wish: wish.as_ref(),
                    held_bytes: 1,
                };
                let (verdict, effects) = self.state.acquire(request, moment);
                match verdict {
                    Verdict::Use(grant) => self.held.push(grant),
                    Verdict::Wait { waiter, .. } => self.waiting.push(waiter),
                    Verdict::Refuse(_) => {}
                }
                effects
            }
            Event::Release(pick, good) if !self.held.is_empty() => {
                let grant = self.held.swap_remove(pick % self.held.len());
                let fate = if *good {
                    Fate::Answered
                } else {
                    Fate::Broken("PC05")
                };
                self.state.release(grant.key, fate, moment).1
            }
            Event::Answered(pick) if !self.held.is_empty() => {
                let key = self.held[pick % self.held.len()].key;
                self.state.answered(key, moment)
            }
            Event::Checked(number, passed, early) => {
                let Some(life) = self.lives.get(&id(number)).copied() else {
                    return;
                };
                let (passed, early) = (*passed, *early);
                let run = Run {
                    life,
                    check: "up",
                    passed,
                    early,
                };
                self.state.checked(run, moment).1
            }
            Event::Put(number, state, cordoned) => {
                let more = more(*number, *cordoned && number % 2 == 0);
                self.state
                    .put(machine(&id(number), STATES[*state], more), moment)
            }
            Event::Remove(number) => {
                self.held.retain(|grant| *grant.machine.id != *id(number));
                self.state.remove(&id(number), moment)
            }
            Event::Drain(number, if_idle) => self
                .state
                .drain(&id(number), *if_idle, moment)
                .map_or(Vec::new(), |done| done.2),
            Event::Accepts(pick) if !self.probes.is_empty() => {
                let (epoch, port) = self.probes.swap_remove(pick % self.probes.len());
                self.state.ready(epoch, port, moment).1
            }
            Event::Refused(pick) if !self.held.is_empty() => {
                let grant = self.held.swap_remove(pick % self.held.len());
                self.state.refused(grant.key);
                self.state.release(grant.key, Fate::Unknown, moment).1
            }
            Event::WakeFailed(number) => {
                let (code, message) = ("PM07".into(), "no".into());
                self.state.wake_failed(&id(number), &code, &message, moment)
            }
            Event::Cancel(pick) if !self.waiting.is_empty() => {
                let waiter = self.waiting.swap_remove(pick % self.waiting.len());
                assert!(self.state.cancel(waiter));
                Vec::new()
            }
            Event::Late(pick) if !self.waiting.is_empty() => {
                let waiter = self.waiting.swap_remove(pick % self.waiting.len());
                self.state.timed_out(waiter, moment).expect("it waited").1
            }
            Event::Pass(time) => {
                self.now += time;
                Vec::new()
            }
            _ => Vec::new(),
        };
        self.absorb(effects);
    }

    fn check(&self) {
        let mut load: HashMap<&str, u32> = HashMap::new();
        for grant in &self.held {
            *load.entry(&grant.machine.id).or_default() += 1;
        }
        assert!(load.values().all(|load| *load <= HARD), "{load:?}");
        assert_eq!(self.state.load(), load.values().sum::<u32>());
        assert_eq!(self.state.waiting(), self.waiting.len());
    }

    /// Everything goes well from here on: Machines start when woken, ports accept, units come back.
    fn run_dry(&mut self) {
        for _ in 0..10_000 {
            if self.waiting.is_empty() {
                return;
            }
            self.now += 1;
            if let Some(id) = self.wakes.iter().next().cloned() {
                self.wakes.remove(&id);
                let limits = self.limits.clone();
                let number = id[1..].parse().unwrap();
                let up = machine(&id, MachineState::Starting, more(number, false));
                let effects = self.state.put(up, at(&limits, self.now));
                self.absorb(effects);
            }
            self.step(&Event::Accepts(0));
            self.step(&Event::Release(0, true));
            for number in 0..4 {
                self.step(&Event::Checked(number, true, false));
            }
            self.check();
        }
        panic!(
            "{} still wait with nothing to happen: {:?}",
            self.waiting.len(),
            self.state
        );
    }
}

/// What is special of a Machine: those with an odd number have a health check.
fn more(number: usize, cordoned: bool) -> serde_json::Value {
    let check =
        json!({"name": "up", "type": "tcp", "port": 8080, "interval_ms": 1, "timeout_ms": 1});
    let checks = if number % 2 == 1 { vec![check] } else { vec![] };
    json!({"cordoned": cordoned, "services": [{
        "internal_port": 8080, "ports": [{"port": 80}], "autostart": true,
        "concurrency": {"type": "requests", "soft_limit": 2, "hard_limit": HARD}, "checks": checks,
    }]})
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, limits and counts are exact, and once all goes well everybody is answered.
    #[test]
    fn limits_hold_and_all_are_answered(events in prop::collection::vec(event(), 1..120)) {
        let mut world = World::new();
        for event in &events {
            world.step(event);
            world.check();
        }
        world.run_dry();
    }
}
