//! Transcripts: health checks and calls that break decide who gets calls.

#![allow(missing_docs)]
// A test says what is wrong by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::{at, limits, machine, words};
use roost_core::{
    AppState, Effect, Fate, Grant, Life, Limits, Refusal, Request, Run, RunWish, Verdict, WaiterId,
};
use roost_wire::MachineState::{self, Started, Starting, Stopped};
use serde_json::{Value, json};

struct Play {
    state: AppState,
    limits: Limits,
    now: u64,
    lives: Vec<(String, Life)>,
    probes: Vec<u64>,
}

impl Play {
    fn new() -> Self {
        Self {
            state: AppState::default(),
            limits: limits(),
            now: 1,
            lives: Vec::new(),
            probes: Vec::new(),
        }
    }

    fn told(&mut self, effects: &[Effect]) -> Vec<String> {
        for effect in effects {
            match effect {
                Effect::Watch(watch) => {
                    self.lives.push((watch.machine.id.to_string(), watch.life));
                }
                Effect::Probe(probe) => self.probes.push(probe.epoch),
                _ => {}
            }
        }
        words(effects)
    }

    fn put_with(&mut self, id: &str, state: MachineState, more: Value) -> Vec<String> {
        let effects = self
            .state
            .put(machine(id, state, more), at(&self.limits, self.now));
        self.told(&effects)
    }

    /// A Machine with one service check, `web`, and one of its own, `top`.
    fn put(&mut self, id: &str, state: MachineState) -> Vec<String> {
        self.put_with(id, state, checked())
    }

    fn call(&mut self) -> (Verdict, Vec<String>) {
        self.now += 1;
        let request = Request {
            port: 80.into(),
            exclude: &[],
            wish: None,
            held_bytes: 0,
        };
        let (verdict, effects) = self.state.acquire(request, at(&self.limits, self.now));
        (verdict, self.told(&effects))
    }

    fn used(&mut self) -> Grant {
        match self.call().0 {
            Verdict::Use(grant) => grant,
            other => panic!("expected a unit at once, got {other:?}"),
        }
    }

    fn waits(&mut self) -> (WaiterId, u64, Vec<String>) {
        match self.call() {
            (Verdict::Wait { waiter, deadline }, told) => (waiter, deadline, told),
            other => panic!("expected a wait, got {other:?}"),
        }
    }

    fn life(&self, id: &str) -> Life {
        let mut lives = self.lives.iter().rev();
        lives.find(|(known, _)| known == id).expect("no life").1
    }

    fn run(&mut self, id: &str, check: &str, passed: bool, early: bool) -> (RunWish, Vec<String>) {
        let life = self.life(id);
        let run = Run {
            life,
            check,
            passed,
            early,
        };
        let (wish, effects) = self.state.checked(run, at(&self.limits, self.now));
        (wish, self.told(&effects))
    }

    fn passes(&mut self, id: &str) -> Vec<String> {
        self.run(id, "web", true, false).1
    }

    fn fails(&mut self, id: &str) -> Vec<String> {
        self.run(id, "web", false, false).1
    }

    fn ends(&mut self, grant: &Grant, fate: Fate) -> Vec<String> {
        let done = self
            .state
            .release(grant.key, fate, at(&self.limits, self.now));
        words(&done.1)
    }

    /// Calls go to `id` and break, `times` in a row.
    fn breaks(&mut self, id: &str, times: usize) -> Vec<String> {
        let mut said = Vec::new();
        let mut others = Vec::new();
        for _ in 0..times {
            let grant = loop {
                let grant = self.used();
                if *grant.machine.id == *id {
                    break grant;
                }
                others.push(grant);
            };
            said.extend(self.ends(&grant, Fate::Broken("PC05")));
        }
        for grant in others {
            self.ends(&grant, Fate::Unknown);
        }
        said
    }

    /// Who gets the next calls.
    fn takers(&mut self, calls: usize) -> Vec<String> {
        let grants: Vec<Grant> = (0..calls).map(|_| self.used()).collect();
        let mut takers: Vec<String> = grants
            .iter()
            .map(|one| one.machine.id.to_string())
            .collect();
        for grant in grants {
            self.ends(&grant, Fate::Unknown);
        }
        takers.sort();
        takers.dedup();
        takers
    }
}

fn check(name: &str) -> Value {
    json!({"name": name, "type": "tcp", "port": 8080, "interval_ms": 1000, "timeout_ms": 1000})
}

fn checked() -> Value {
    json!({"checks": [check("top")], "services": [{
        "internal_port": 8080, "ports": [{"port": 80}], "autostart": true,
        "concurrency": {"type": "requests", "soft_limit": 9, "hard_limit": 9},
        "checks": [check("web")],
    }]})
}

/// A Machine whose check fails gets no calls while another passes, and gets them again at its first pass.
#[test]
fn a_failing_machine_gets_no_calls() {
    let mut play = Play::new();
    assert_eq!(play.put("m1", Started), ["watch m1 known"]);
    play.put("m2", Started);
    play.passes("m1");
    play.passes("m2");
    assert_eq!(play.takers(6), ["m1", "m2"]);
    play.fails("m1");
    assert_eq!(play.takers(6), ["m2"]);
    play.passes("m1");
    assert_eq!(play.takers(6), ["m1", "m2"]);
}

/// A check that belongs to no service changes nothing for calls.
#[test]
fn a_check_of_no_service_does_not_route() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.passes("m1");
    assert_eq!(play.run("m1", "top", false, false).0, RunWish::Usual);
    assert_eq!(play.takers(1), ["m1"]);
}

/// While all fail a call waits; it goes on with the first pass.
#[test]
fn a_call_waits_for_a_pass() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.passes("m1");
    play.fails("m1");
    let (waiter, deadline, told) = play.waits();
    assert_eq!(deadline - play.now, 2_000_000);
    assert!(told.is_empty(), "{told:?}");
    assert!(play.fails("m1").is_empty());
    assert_eq!(play.passes("m1"), [format!("grant {} m1", waiter.0)]);
}

/// When none passes in time the call is refused with PR01, for HTTP as for others, and says which checks.
#[test]
fn a_call_is_refused_when_none_passes_in_time() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.passes("m1");
    play.fails("m1");
    let (waiter, deadline, _) = play.waits();
    play.now = deadline;
    let moment = at(&play.limits, play.now);
    let (refusal, _) = play.state.timed_out(waiter, moment).unwrap();
    let Refusal::Unhealthy { failing, waited_ms } = &refusal else {
        panic!("{refusal:?}")
    };
    assert_eq!((failing.as_str(), *waited_ms), ("m1: web", 2_000));
    assert_eq!([refusal.code(true), refusal.code(false)], ["PR01", "PR01"]);
}

/// Who wakes a Machine gets it when its port accepts and its checks passed; they are run at once and
/// again soon until they do, and failures in the grace period do not make it failing.
#[test]
fn a_woken_machine_serves_when_its_checks_pass() {
    let mut play = Play::new();
    assert!(play.put("m1", Stopped).is_empty());
    let (waiter, _, told) = play.waits();
    assert_eq!(told, ["wake m1"]);
    assert_eq!(play.put("m1", Starting), ["watch m1", "probe m1 8080"]);
    let ready = play
        .state
        .ready(play.probes[0], 8080, at(&play.limits, 5))
        .1;
    assert_eq!(words(&ready), ["hurry m1"]);
    assert_eq!(play.put("m1", Started), ["watch m1"]);
    assert_eq!(
        play.run("m1", "web", false, true),
        (RunWish::Eager, Vec::new())
    );
    assert_eq!(play.passes("m1"), [format!("grant {} m1", waiter.0)]);
}

/// A Machine that does not pass within its grace period does not keep a sleeper from being woken.
#[test]
fn a_sleeper_is_woken_beside_a_failing_machine() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.put("m2", Stopped);
    let (_, _, told) = play.waits();
    assert_eq!(told, ["hurry m1"]);
    assert_eq!(
        play.run("m1", "web", false, false),
        (RunWish::Eager, vec!["wake m2".to_owned()])
    );
}

/// Nothing of an earlier life counts: neither its passes nor a result that comes late.
#[test]
fn each_life_begins_anew() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.passes("m1");
    let old = play.life("m1");
    assert_eq!(play.put("m1", Stopped), ["unwatch m1"]);
    let late = Run {
        life: old,
        check: "web",
        passed: true,
        early: false,
    };
    let limits = limits();
    let moment = at(&limits, play.now);
    assert_eq!(play.state.checked(late, moment).0, RunWish::Stop);
    assert_eq!(play.put("m1", Started), ["watch m1"]);
    assert_eq!(play.state.checked(late, moment).0, RunWish::Stop);
    assert_eq!(play.waits().2, ["probe m1 8080"]);
    let ready = play.state.ready(play.probes[0], 8080, moment).1;
    assert_eq!(words(&ready), ["hurry m1"]);
    assert_eq!(play.passes("m1"), ["grant 1 m1"]);
    let words = words(&play.state.remove("m1", at(&play.limits, play.now)));
    assert_eq!(words, ["unwatch m1"]);
}

/// Checks are no load: a Machine that is only checked reports none and may be drained.
#[test]
fn checks_are_no_load() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.passes("m1");
    play.fails("m1");
    assert!(play.state.report_load().is_empty());
    assert!(!play.state.is_active());
    let (drained, load, _) = play.state.drain("m1", true, at(&play.limits, 9)).unwrap();
    assert_eq!((drained, load), (true, 0));
}

/// Three broken calls in a row take a Machine out while another can take its calls, for a pause that
/// grows; after it one call tries it, and decides.
#[test]
fn a_machine_that_does_not_answer_is_left_alone() {
    let mut play = Play::new();
    play.put_with("m1", Started, json!({}));
    play.put_with("m2", Started, json!({}));
    assert_eq!(play.breaks("m1", 2), [""; 0]);
    assert_eq!(play.breaks("m1", 1), ["eject m1 PC05 1000"]);
    assert_eq!(play.takers(3), ["m2"]);
    play.now += 1_000_000;
    let held: Vec<Grant> = (0..3).map(|_| play.used()).collect();
    let trials: Vec<&Grant> = held.iter().filter(|grant| grant.trial).collect();
    assert_eq!(trials.len(), 1, "one call tries it");
    assert_eq!(*trials[0].machine.id, *"m1");
    assert_eq!(
        play.ends(trials[0], Fate::Broken("PC03")),
        ["eject m1 PC03 2000"]
    );
    for grant in held.iter().filter(|grant| !grant.trial) {
        play.ends(grant, Fate::Unknown);
    }
    play.now += 2_000_000;
    let trial = (0..3).map(|_| play.used()).find(|one| one.trial).unwrap();
    let answered = play.state.answered(trial.key, at(&play.limits, play.now));
    assert_eq!(words(&answered), ["restore m1"]);
    assert!(!play.used().trial);
}

/// An answer in between begins the count anew.
#[test]
fn only_a_row_of_broken_calls_counts() {
    let mut play = Play::new();
    play.put_with("m1", Started, json!({}));
    play.put_with("m2", Started, json!({}));
    play.breaks("m1", 2);
    let grant = loop {
        let grant = play.used();
        if *grant.machine.id == *"m1" {
            break grant;
        }
    };
    play.ends(&grant, Fate::Answered);
    assert_eq!(play.breaks("m1", 2), [""; 0]);
}

/// The last Machine is never left alone, nor is one that became the last since.
#[test]
fn the_last_machine_is_never_left_alone() {
    let mut play = Play::new();
    play.put_with("m1", Started, json!({}));
    assert_eq!(play.breaks("m1", 5), [""; 0]);
    assert_eq!(play.takers(1), ["m1"]);
    play.put_with("m2", Started, json!({}));
    assert_eq!(play.breaks("m1", 1), ["eject m1 PC05 1000"]);
    play.put_with("m2", Stopped, json!({"startable": false}));
    assert_eq!(play.takers(1), ["m1"]);
}

/// While another proxy decides nothing is checked here; when this one decides again all is.
#[test]
fn an_elder_does_not_check() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.passes("m1");
    play.state.hand_over();
    assert_eq!(play.state.watched().count(), 1);
    assert_eq!(play.run("m1", "web", false, false).0, RunWish::Stop);
    assert!(play.put("m2", Started).is_empty());
    let back = play.state.take_back(at(&play.limits, play.now));
    assert_eq!(words(&back), ["watch m1 known", "watch m2 known"]);
    assert_eq!(play.used().machine.id.to_string(), "m1");
}

/// What was under way when another proxy took over, and came to nothing, is begun anew: whoever tried ports
/// and checks has stopped. Of what passed before nobody says that it fails.
#[test]
fn who_decides_again_begins_anew() {
    let mut play = Play::new();
    play.put("m1", Stopped);
    let (waiter, _, _) = play.waits();
    assert_eq!(play.put("m1", Starting), ["watch m1", "probe m1 8080"]);
    play.state.hand_over();
    let back = play.state.take_back(at(&play.limits, play.now));
    assert_eq!(play.told(&back), ["watch m1", "probe m1 8080"]);
    let moment = at(&play.limits, play.now);
    let ready = play.state.ready(play.probes[1], 8080, moment).1;
    assert_eq!(words(&ready), ["hurry m1"]);
    play.state.hand_over();
    let back = play.state.take_back(at(&play.limits, play.now));
    assert_eq!(play.told(&back), ["watch m1", "hurry m1"]);
    assert_eq!(play.passes("m1"), [format!("grant {} m1", waiter.0)]);
    play.state.hand_over();
    let back = play.state.take_back(at(&play.limits, play.now));
    assert_eq!(words(&back), ["watch m1 known"]);
}

/// A Machine that is heard of while it starts has its grace period before it.
#[test]
fn one_that_is_starting_is_not_known() {
    let mut play = Play::new();
    assert_eq!(play.put("m1", Starting), ["watch m1"]);
    assert_eq!(play.put("m1", Started), ["watch m1"]);
    assert_eq!(play.put("m2", Started), ["watch m2 known"]);
}

/// A service of datagrams gets no flow on a Machine whose check does not pass.
#[test]
fn checks_route_datagrams_too() {
    let mut play = Play::new();
    let service = json!({"services": [{
        "protocol": "udp", "internal_port": 53, "ports": [{"port": 53}], "checks": [check("dns")],
    }]});
    play.put_with("m1", Started, service.clone());
    play.put_with("m2", Started, service);
    for id in ["m1", "m2"] {
        play.run(id, "dns", true, false);
    }
    play.run("m1", "dns", false, false);
    for _ in 0..6 {
        let request = Request {
            port: roost_wire::TransportPort::udp(53),
            exclude: &[],
            wish: None,
            held_bytes: 0,
        };
        let verdict = play.state.acquire(request, at(&play.limits, play.now)).0;
        let Verdict::Use(grant) = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(*grant.machine.id, *"m2");
    }
}

/// One that does not answer is tried when there is nobody else, and not while another one is full.
#[test]
fn a_full_machine_is_waited_for() {
    let mut play = Play::new();
    play.put_with("m1", Started, json!({}));
    play.put_with("m2", Started, json!({}));
    play.breaks("m1", 3);
    let held: Vec<Grant> = (0..3).map(|_| play.used()).collect();
    assert!(held.iter().all(|one| *one.machine.id == *"m2"));
    let (waiter, _, _) = play.waits();
    assert_eq!(
        play.ends(&held[0], Fate::Answered),
        [format!("grant {} m2", waiter.0)]
    );
}

/// A Machine is served from when all checks of the service pass, and its connections are kept as long.
#[test]
fn every_check_of_a_service_counts() {
    let mut play = Play::new();
    let mut value = checked();
    value["services"][0]["checks"] = json!([check("web"), check("deep")]);
    play.put_with("m1", Started, value.clone());
    play.put_with("m2", Started, value);
    for (id, name) in [("m1", "web"), ("m2", "web"), ("m2", "deep")] {
        play.run(id, name, true, false);
    }
    assert_eq!(play.takers(4), ["m2"]);
    play.run("m1", "deep", false, false);
    assert_eq!(play.takers(4), ["m2"]);
    play.run("m1", "deep", true, false);
    assert_eq!(play.takers(4), ["m1", "m2"]);
    let (first, second) = (play.used(), play.used());
    play.run("m1", "deep", false, false);
    for grant in [first, second] {
        let moment = at(&play.limits, play.now);
        let (kept, _) = play.state.release(grant.key, Fate::Answered, moment);
        assert_eq!(kept, *grant.machine.id == *"m2");
    }
}

/// Who will not have the only Machine that is left is told, though one before it waits for that one.
#[test]
fn who_excludes_the_last_machine_does_not_wait() {
    let mut play = Play::new();
    play.put_with("m1", Started, json!({}));
    play.put_with("m2", Started, json!({}));
    let held: Vec<Grant> = (0..6).map(|_| play.used()).collect();
    let (first, _, _) = play.waits();
    let exclude = ["m1".into()];
    let request = Request {
        port: 80.into(),
        exclude: &exclude,
        wish: None,
        held_bytes: 0,
    };
    let verdict = play.state.acquire(request, at(&play.limits, play.now)).0;
    let Verdict::Wait { waiter, .. } = verdict else {
        panic!("{verdict:?}")
    };
    let gone = play.state.remove("m2", at(&play.limits, play.now));
    assert_eq!(words(&gone), [format!("fail {} PR03", waiter.0)]);
    let on_first = held.iter().find(|one| *one.machine.id == *"m1").unwrap();
    assert_eq!(
        play.ends(on_first, Fate::Unknown),
        [format!("grant {} m1", first.0)]
    );
}
