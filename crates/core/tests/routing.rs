//! Transcripts of one app's routing: what happens, and what the shell is told to do.

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
    AppState, Effect, Fate, Grant, Limits, ProbeWish, Refusal, Request, Verdict, WaiterId, Wish,
};
use roost_wire::MachineState::{
    Created, Started, Starting, Stopped, Stopping, Suspended, Suspending,
};
use roost_wire::{MachineState, Name, TransportPort};
use serde_json::json;

struct Play {
    state: AppState,
    limits: Limits,
    now: u64,
    said: Vec<String>,
}

impl Play {
    fn new() -> Self {
        Self {
            state: AppState::default(),
            limits: limits(),
            now: 1,
            said: Vec::new(),
        }
    }

    fn put(&mut self, id: &str, state: MachineState) -> Vec<String> {
        self.put_with(id, state, json!({}))
    }

    fn put_with(&mut self, id: &str, state: MachineState, more: serde_json::Value) -> Vec<String> {
        words(
            &self
                .state
                .put(machine(id, state, more), at(&self.limits, self.now)),
        )
    }

    fn call(&mut self) -> Verdict {
        self.call_without(&[])
    }

    fn call_without(&mut self, exclude: &[Name]) -> Verdict {
        self.call_as(exclude, None)
    }

    fn call_as(&mut self, exclude: &[Name], wish: Option<&Wish>) -> Verdict {
        self.now += 1;
        let request = Request {
            port: 80.into(),
            exclude,
            wish,
            held_bytes: 0,
        };
        let (verdict, effects) = self.state.acquire(request, at(&self.limits, self.now));
        self.said = words(&effects);
        verdict
    }

    fn used(&mut self) -> Grant {
        match self.call() {
            Verdict::Use(grant) => grant,
            other => panic!("expected a unit at once, got {other:?}"),
        }
    }

    fn waits(&mut self) -> (WaiterId, u64) {
        match self.call() {
            Verdict::Wait { waiter, deadline } => (waiter, deadline),
            other => panic!("expected a wait, got {other:?}"),
        }
    }

    fn refused(&mut self) -> Refusal {
        match self.call() {
            Verdict::Refuse(refusal) => refusal,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    fn release(&mut self, grant: &Grant) -> Vec<String> {
        words(
            &self
                .state
                .release(grant.key, Fate::Unknown, at(&self.limits, self.now))
                .1,
        )
    }

    fn ready(&mut self, epoch: u64) -> Vec<String> {
        words(&self.state.ready(epoch, 8080, at(&self.limits, self.now)).1)
    }
}

/// Below soft comes before above soft, at the soft limit counts as above, and the least loaded wins.
#[test]
fn spreads_by_load() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.put("m2", Started);
    let mut by_machine = [0, 0];
    for expected in [[1, 1], [2, 2], [3, 3]] {
        for _ in 0..2 {
            by_machine[usize::from(*play.used().machine.id == *"m2")] += 1;
        }
        assert_eq!(by_machine, expected);
    }
}

/// Ties are broken by chance: over many draws both Machines come first.
#[test]
fn breaks_ties_by_chance() {
    let mut first = [0, 0];
    for seed in 1..200 {
        let mut play = Play::new();
        play.now = seed;
        play.put("m1", Started);
        play.put("m2", Started);
        first[usize::from(*play.used().machine.id == *"m2")] += 1;
    }
    assert!(first.iter().all(|count| *count > 60), "{first:?}");
}

/// The fourth call at hard limit 3 waits, later ones queue behind it, and freed units go in order.
#[test]
fn queues_first_come_first_served() {
    let mut play = Play::new();
    play.put("m1", Started);
    let grants: Vec<Grant> = (0..3).map(|_| play.used()).collect();
    let (first, deadline) = play.waits();
    assert_eq!(deadline, play.now + 2_000_000);
    let (second, _) = play.waits();
    assert_eq!(play.release(&grants[0]), [format!("grant {} m1", first.0)]);
    assert_eq!(play.release(&grants[1]), [format!("grant {} m1", second.0)]);
    assert!(play.release(&grants[2]).is_empty());
    assert_eq!(play.state.waiting(), 0);
    assert_eq!(play.state.load(), 2);
}

/// The queue is bounded; who is too many is refused with PR04 for HTTP and PR01 for TCP.
#[test]
fn bounds_the_queue() {
    let mut play = Play::new();
    play.put("m1", Stopped);
    for _ in 0..4 {
        play.waits();
    }
    let refusal = play.refused();
    assert_eq!((refusal.code(true), refusal.code(false)), ("PR04", "PR01"));
}

/// A sleeping app is woken once, however many call, and the port is tried before anybody is let in.
#[test]
fn wakes_once_and_waits_for_the_port() {
    let mut play = Play::new();
    play.put("m1", Stopped);
    play.put("m2", Stopped);
    let (first, deadline) = play.waits();
    assert_eq!(deadline, play.now + 1_000_000);
    assert_eq!(play.said, ["wake m1"]);
    let (second, _) = play.waits();
    assert!(play.said.is_empty());
    assert_eq!(play.put("m1", Starting), ["probe m1 8080"]);
    assert!(play.put("m1", Started).is_empty());
    assert_eq!(play.state.probe_wish(1, 8080), ProbeWish::Eager);
    let granted = play.ready(1);
    assert_eq!(
        granted,
        [
            format!("grant {} m1", first.0),
            format!("grant {} m1", second.0)
        ]
    );
    assert_eq!(play.state.probe_wish(1, 8080), ProbeWish::Stop);
}

/// A suspended Machine is preferred to a stopped one, since it is back sooner.
#[test]
fn wakes_the_quickest() {
    let mut play = Play::new();
    play.put("m1", Stopped);
    play.put("m2", Suspended);
    play.waits();
    assert_eq!(play.said, ["wake m2"]);
}

/// With all running ones at their soft limit a sleeper is woken but not waited for; one at a time.
#[test]
fn wakes_ahead_of_need() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.put("m2", Stopped);
    play.put("m3", Stopped);
    play.used();
    play.used();
    assert!(play.said.is_empty());
    assert_eq!(*play.used().machine.id, *"m1");
    assert_eq!(play.said, ["wake m2"]);
    play.waits();
    assert!(play.said.is_empty());
    assert!(
        play.put("m2", Starting)
            .contains(&"probe m2 8080".to_owned())
    );
}

/// Nobody is waited for on a Machine that came up: its port is tried by the next call that sees it.
#[test]
fn tries_ports_of_machines_nobody_waits_for() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.put("m2", Starting);
    assert_eq!(*play.used().machine.id, *"m1");
    assert_eq!(play.said, ["probe m2 8080"]);
    assert_eq!(play.state.probe_wish(2, 8080), ProbeWish::Lazy);
    play.ready(2);
    assert_eq!(*play.used().machine.id, *"m2");
}

/// A table of states without a call in flight: who is routed, woken or refused.
#[test]
fn treats_each_state_as_documented() {
    let closed = json!({"startable": false});
    let table = [
        (Started, json!({}), "use"),
        (Starting, json!({}), "probe m1 8080"),
        (Stopped, json!({}), "wake m1"),
        (Suspended, json!({}), "wake m1"),
        (Created, json!({}), "wake m1"),
        (Stopping, json!({}), "wake m1"),
        (Suspending, json!({}), "wake m1"),
        (MachineState::Resting, json!({}), "wake m1"),
        (Stopped, closed.clone(), "PM08"),
        (Stopping, closed, "PM08"),
        (Started, json!({"cordoned": true}), "PM08"),
        (Stopped, json!({"cordoned": true}), "PM08"),
        (Started, json!({"services": []}), "PR04"),
    ];
    for (state, more, expected) in table {
        let mut play = Play::new();
        play.put_with("m1", state, more.clone());
        let found = match play.call() {
            Verdict::Use(_) => "use".to_owned(),
            Verdict::Wait { .. } => play.said.join(","),
            Verdict::Refuse(refusal) => refusal.code(true).to_owned(),
        };
        assert_eq!(found, expected, "{state:?} {more}");
    }
}

/// Local before remote: a local sleeper is started before a remote one is used above local soft.
#[test]
fn prefers_its_own_region() {
    let far = json!({"region": "far"});
    let mut play = Play::new();
    play.put_with("far", Started, far.clone());
    play.put("near", Started);
    for _ in 0..3 {
        assert_eq!(*play.used().machine.id, *"near");
    }
    assert_eq!(*play.used().machine.id, *"far");
    let mut asleep = Play::new();
    asleep.put_with("far", Stopped, far);
    asleep.put("near", Started);
    for _ in 0..3 {
        asleep.used();
        assert!(asleep.said.is_empty());
    }
    asleep.waits();
    assert_eq!(asleep.said, ["wake far"]);
}

/// A drained Machine takes nothing new; a call wakes it, and its next put lets the caller in.
#[test]
fn drains_until_the_next_put() {
    let mut play = Play::new();
    play.put("m1", Started);
    let grant = play.used();
    let drain = |play: &mut Play, if_idle| {
        let (done, load, _) = play
            .state
            .drain("m1", if_idle, at(&play.limits, 5))
            .unwrap();
        (done, load)
    };
    assert_eq!(drain(&mut play, true), (false, 1));
    play.release(&grant);
    assert_eq!(drain(&mut play, true), (true, 0));
    let (waiter, _) = play.waits();
    assert_eq!(play.said, ["wake m1"]);
    assert_eq!(drain(&mut play, true), (false, 0));
    assert_eq!(play.put("m1", Stopping), ["wake m1"]);
    assert_eq!(play.put("m1", Stopped), ["wake m1"]);
    assert_eq!(play.put("m1", Starting), ["probe m1 8080"]);
    assert_eq!(play.ready(1), [format!("grant {} m1", waiter.0)]);
}

/// A drain that the agent takes back lets the waiting caller in at once.
#[test]
fn undrains() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.state.drain("m1", true, at(&play.limits, 5)).unwrap();
    let (waiter, _) = play.waits();
    assert_eq!(play.put("m1", Started), [format!("grant {} m1", waiter.0)]);
}

/// After a failed wake another sleeper is tried; when none is left the caller gets the agent's code.
#[test]
fn goes_on_after_a_failed_wake() {
    let mut play = Play::new();
    play.put("m1", Stopped);
    play.put("m2", Stopped);
    let (waiter, _) = play.waits();
    let (code, message) = (Name::from("PM07"), Name::from("no image"));
    let moment = at(&play.limits, 9);
    assert_eq!(
        words(&play.state.wake_failed("m1", &code, &message, moment)),
        ["wake m2"]
    );
    let last = words(&play.state.wake_failed("m2", &code, &message, moment));
    assert_eq!(last, [format!("fail {} PM07", waiter.0)]);
    assert_eq!(play.state.waiting(), 0);
}

/// A Machine that ends three times before its port accepts is given up for those who wait.
#[test]
fn gives_up_on_false_starts() {
    let mut play = Play::new();
    play.put("m1", Stopped);
    let (waiter, _) = play.waits();
    for _ in 0..2 {
        assert_eq!(play.put("m1", Starting), ["probe m1 8080"]);
        assert_eq!(play.put("m1", Stopped), ["wake m1"]);
    }
    play.put("m1", Starting);
    assert_eq!(play.put("m1", Stopped), [format!("fail {} PM07", waiter.0)]);
}

/// The deadline says what was missing: the wake, the port or a place.
#[test]
fn names_what_was_late() {
    let code = |play: &mut Play, waiter: WaiterId| {
        play.now += 1_000_000;
        let late = play.state.timed_out(waiter, at(&play.limits, play.now));
        late.map(|(refusal, _)| refusal.code(true).to_owned())
    };
    let mut play = Play::new();
    play.put("m1", Stopped);
    let (waiter, _) = play.waits();
    assert_eq!(code(&mut play, waiter).as_deref(), Some("PM03"));
    assert_eq!(code(&mut play, waiter), None);
    let (waiter, _) = play.waits();
    assert_eq!(play.said, ["wake m1"]);
    play.put("m1", Starting);
    assert_eq!(code(&mut play, waiter).as_deref(), Some("PM05"));
    play.ready(1);
    let grants: Vec<Grant> = (0..3).map(|_| play.used()).collect();
    let (waiter, _) = play.waits();
    assert_eq!(code(&mut play, waiter).as_deref(), Some("PR04"));
    assert_eq!(grants.len(), 3);
}

/// A Machine that refuses a connection gets no more calls until its port accepts again.
#[test]
fn tries_a_refusing_port() {
    let mut play = Play::new();
    play.put("m1", Started);
    let grant = play.used();
    play.state.refused(grant.key);
    play.release(&grant);
    let (waiter, _) = play.waits();
    assert_eq!(play.said, ["probe m1 8080"]);
    assert_eq!(play.ready(1), [format!("grant {} m1", waiter.0)]);
}

/// Excluded Machines are not taken; when nothing else is there the call is told so.
#[test]
fn leaves_out_excluded_machines() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.put("m2", Started);
    let Verdict::Use(grant) = play.call_without(&["m1".into()]) else {
        panic!("not used")
    };
    assert_eq!(*grant.machine.id, *"m2");
    let Verdict::Refuse(refusal) = play.call_without(&["m1".into(), "m2".into()]) else {
        panic!("not refused")
    };
    assert_eq!((refusal.code(true), refusal.code(false)), ("PR03", "PR01"));
}

/// Removing the last Machine tells those who wait for it.
#[test]
fn tells_waiters_of_a_removed_app() {
    let mut play = Play::new();
    play.put("m1", Stopped);
    let (waiter, _) = play.waits();
    let effects: Vec<Effect> = play.state.remove("m1", at(&play.limits, 3));
    assert_eq!(words(&effects), [format!("fail {} PR04", waiter.0)]);
}

/// A report has each used service once, with the peak since the last one; rest is reported once.
#[test]
fn reports_load_and_peak() {
    let mut play = Play::new();
    play.put("m1", Started);
    let grants: Vec<Grant> = (0..2).map(|_| play.used()).collect();
    play.release(&grants[0]);
    assert_eq!(play.state.report_load(), [("m1".into(), 8080.into(), 1, 2)]);
    assert!(play.state.is_active());
    play.release(&grants[1]);
    assert_eq!(play.state.report_load(), [("m1".into(), 8080.into(), 0, 1)]);
    assert!(!play.state.is_active());
    assert_eq!(play.state.report_load(), []);
}

/// A late release of a Machine that was removed and put anew does not touch the new one's load.
#[test]
fn ignores_releases_of_a_former_life() {
    let mut play = Play::new();
    play.put("m1", Started);
    let old = play.used();
    play.state.remove("m1", at(&play.limits, 3));
    play.put("m1", Started);
    let new = play.used();
    play.release(&old);
    assert_eq!(play.state.load(), 1);
    play.release(&new);
    assert_eq!(play.state.load(), 0);
}

// === wishes ===

fn wish(instance: Option<&str>, regions: &[&str], strict: bool) -> Wish {
    Wish {
        instance: instance.map(Name::from),
        regions: regions.iter().map(|region| Name::from(*region)).collect(),
        strict,
    }
}

impl Play {
    fn wished(&mut self, wish: &Wish) -> String {
        match self.call_as(&[], Some(wish)) {
            Verdict::Use(grant) => grant.machine.id.to_string(),
            Verdict::Wait { .. } => format!("wait {}", self.said.join(" ")),
            Verdict::Refuse(refusal) => refusal.code(true).to_owned(),
        }
    }
}

/// A wish for one Machine is met by it while it takes calls, by another one only if that is allowed.
#[test]
fn one_machine_by_its_id() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.put("m2", Started);
    let (prefer, force) = (wish(Some("m2"), &[], false), wish(Some("m2"), &[], true));
    for _ in 0..3 {
        assert_eq!(play.wished(&prefer), "m2");
    }
    assert_eq!(play.wished(&prefer), "m1", "m2 is at its hard limit");
    let gone = wish(Some("m9"), &[], true);
    assert_eq!(play.wished(&gone), "PR02");
    assert_eq!(play.wished(&wish(Some("m9"), &[], false)), "m1");
    assert_eq!(play.wished(&force), "wait ");
}

/// Who waits for one Machine stands in nobody's way, and is served by no other.
#[test]
fn who_waits_for_one_machine_blocks_nobody() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.put("m2", Started);
    let force = wish(Some("m2"), &[], true);
    let grants: Vec<Grant> = (0..3)
        .map(|_| match play.call_as(&[], Some(&force)) {
            Verdict::Use(grant) => grant,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(play.wished(&force), "wait ");
    let other = play.call();
    assert!(matches!(other, Verdict::Wait { .. }), "{other:?}");
    assert_eq!(play.said, ["grant 2 m1"]);
    let (_, effects) = play
        .state
        .release(grants[0].key, Fate::Unknown, at(&play.limits, play.now));
    assert_eq!(words(&effects), ["grant 1 m2"]);
}

/// A sleeping Machine that is wished for is woken, though others run.
#[test]
fn the_wished_machine_is_woken() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.put("m2", Stopped);
    assert_eq!(play.wished(&wish(Some("m2"), &[], true)), "wait wake m2");
    assert_eq!(play.wished(&wish(Some("m2"), &[], false)), "wait ");
    assert_eq!(play.put("m2", Starting), ["probe m2 8080"]);
}

/// When its wake fails, one that was only preferred gives way, one that was demanded gives the reason.
#[test]
fn a_failed_wake_of_the_wished_machine() {
    let mut play = Play::new();
    play.put("m1", Started);
    play.put("m2", Stopped);
    play.wished(&wish(Some("m2"), &[], false));
    play.wished(&wish(Some("m2"), &[], true));
    let (code, message) = (Name::from("PM07"), Name::from("no memory"));
    let moment = at(&play.limits, play.now);
    let effects = play.state.wake_failed("m2", &code, &message, moment);
    assert_eq!(words(&effects), ["grant 1 m1", "fail 2 PM07"]);
}

/// Regions are taken in their order, by name or alias; a demand for others is met by nobody.
#[test]
fn regions_in_their_order() {
    let mut play = Play::new();
    play.put_with("m1", Started, json!({"region": "iad"}));
    play.put_with("m2", Started, json!({"region": "fra"}));
    assert_eq!(play.wished(&wish(None, &["syd", "eu"], true)), "m2");
    assert_eq!(play.wished(&wish(None, &["us", "eu"], true)), "m1");
    assert_eq!(play.wished(&wish(None, &["syd"], true)), "PR04");
    assert_eq!(play.wished(&wish(None, &["syd"], false)).len(), 2);
    assert_eq!(play.wished(&wish(None, &["syd", "any"], true)).len(), 2);
    assert_eq!(play.wished(&wish(Some("m1"), &["eu"], true)), "m1");
}

/// A Machine with a TCP and a UDP service, both on port 80 → 8080.
fn both(play: &mut Play, state: MachineState) -> Vec<String> {
    let service = |protocol| {
        json!({"protocol": protocol, "internal_port": 8080, "ports": [{"port": 80}],
            "concurrency": {"hard_limit": 2}})
    };
    play.put_with(
        "m1",
        state,
        json!({"services": [service("tcp"), service("udp")]}),
    )
}

fn call_udp(play: &mut Play) -> Verdict {
    play.now += 1;
    let request = Request {
        port: TransportPort::udp(80),
        exclude: &[],
        wish: None,
        held_bytes: 0,
    };
    let moment = at(&play.limits, play.now);
    let (verdict, effects) = play.state.acquire(request, moment);
    play.said = words(&effects);
    verdict
}

fn used_udp(play: &mut Play) -> Grant {
    match call_udp(play) {
        Verdict::Use(grant) => grant,
        other => panic!("expected a unit at once, got {other:?}"),
    }
}

/// A datagram that a proven Machine refuses.
fn refuse_udp(play: &mut Play) {
    let grant = used_udp(play);
    assert!(grant.proven);
    play.state.refused(grant.key);
    play.release(&grant);
}

/// The same port over TCP and over UDP are two services: each has its load and limit, and its own report.
#[test]
fn udp_is_counted_apart() {
    let mut play = Play::new();
    both(&mut play, Started);
    let _ = (play.used(), play.used());
    let grant = used_udp(&mut play);
    let lines = [
        ("m1".into(), 8080.into(), 2, 2),
        ("m1".into(), TransportPort::udp(8080), 1, 1),
    ];
    assert_eq!(play.state.report_load(), lines);
    assert!(grant.proven);
    play.release(&grant);
    assert!(matches!(call_udp(&mut play), Verdict::Use(_)));
}

/// A UDP port is not tried: one of those who wait gets the Machine once it is started, and the others once
/// something was taken or the first has gone; no other Machine is woken meanwhile.
#[test]
fn udp_sends_one_ahead() {
    let mut play = Play::new();
    both(&mut play, Stopped);
    assert!(matches!(call_udp(&mut play), Verdict::Wait { .. }));
    assert_eq!(play.said, ["wake m1"]);
    assert!(both(&mut play, Starting).is_empty());
    assert_eq!(both(&mut play, Started), ["grant 1 m1"]);
    let other = json!({"services": [{"protocol": "udp", "internal_port": 8080,
        "ports": [{"port": 80}]}]});
    play.put_with("m2", Stopped, other);
    assert!(matches!(call_udp(&mut play), Verdict::Wait { .. }));
    assert!(play.said.is_empty());
}

/// A Machine that took datagrams goes before one of which nobody knows, however much it has to do.
#[test]
fn udp_goes_where_it_was_taken() {
    let mut play = Play::new();
    both(&mut play, Started);
    refuse_udp(&mut play);
    let service = json!({"protocol": "udp", "internal_port": 8080, "ports": [{"port": 80}]});
    play.put_with("m2", Started, json!({"services": [service]}));
    let taken: Vec<Grant> = (0..3).map(|_| used_udp(&mut play)).collect();
    assert!(
        taken
            .iter()
            .all(|grant| *grant.machine.id == *"m2" && grant.proven)
    );
}

/// While a first call finds out whether a Machine takes datagrams again no other one is woken for it.
#[test]
fn udp_asks_before_it_wakes() {
    let mut play = Play::new();
    both(&mut play, Started);
    refuse_udp(&mut play);
    let service = json!({"protocol": "udp", "internal_port": 8080, "ports": [{"port": 80}]});
    play.put_with("m2", Stopped, json!({"services": [service]}));
    assert!(!used_udp(&mut play).proven);
    assert!(play.said.is_empty());
}

/// Of a service with several ports one that refuses is no news about the others: once one was taken they get calls
/// at once, and those who wait for a first one are served in turn.
#[test]
fn a_dead_udp_port_does_not_stop_its_service() {
    let mut play = Play::new();
    let ports = json!([{"port": 80, "end_port": 89}]);
    let several = |play: &mut Play, state| {
        let service = json!({"protocol": "udp", "internal_port": 8080, "ports": ports});
        play.put_with("m1", state, json!({"services": [service]}))
    };
    several(&mut play, Started);
    let grant = used_udp(&mut play);
    assert!(grant.proven && !grant.one_port);
    play.state.refused(grant.key);
    assert!(used_udp(&mut play).proven);
    several(&mut play, Stopped);
    several(&mut play, Started);
    let first = used_udp(&mut play);
    assert!(!first.proven);
    assert!(matches!(call_udp(&mut play), Verdict::Wait { .. }));
    assert_eq!(play.release(&first), ["grant 1 m1"]);
}

/// Several entries of ports, or of services, that lead to one port of the Machine are several ports.
#[test]
fn one_port_is_one_number() {
    let service = |ports| json!({"protocol": "udp", "internal_port": 8080, "ports": ports});
    let one = json!([{"port": 80}]);
    for (services, alone) in [
        (json!([service(&one)]), true),
        (
            json!([service(&json!([{"port": 80, "end_port": 80}]))]),
            true,
        ),
        (
            json!([service(&json!([{"port": 80, "end_port": 81}]))]),
            false,
        ),
        (
            json!([service(&json!([{"port": 80}, {"port": 90}]))]),
            false,
        ),
        (
            json!([service(&one), service(&json!([{"port": 90}]))]),
            false,
        ),
    ] {
        let mut play = Play::new();
        play.put_with("m1", Started, json!({"services": services}));
        assert_eq!(used_udp(&mut play).one_port, alone, "{services}");
    }
}

/// A Machine that refused gets one call, and the others when that one gives up or something was taken.
#[test]
fn udp_is_proven_by_what_is_taken() {
    let mut play = Play::new();
    both(&mut play, Started);
    refuse_udp(&mut play);
    let taken = used_udp(&mut play);
    assert!(!taken.proven);
    assert!(matches!(call_udp(&mut play), Verdict::Wait { .. }));
    let moment = at(&play.limits, play.now);
    let (after, effects) = play.state.accepted(taken.key, moment);
    assert_eq!(
        (after.is_some(), words(&effects)),
        (true, vec!["grant 1 m1".to_owned()])
    );
    assert!(play.state.accepted(taken.key, moment).0.is_none());
    play.release(&taken);
    refuse_udp(&mut play);
    let gives_up = used_udp(&mut play);
    assert!(matches!(call_udp(&mut play), Verdict::Wait { .. }));
    assert_eq!(play.release(&gives_up), ["grant 2 m1"]);
}
