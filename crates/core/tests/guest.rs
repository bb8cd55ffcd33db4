//! Two states of one app, of which the second has taken over from the first.

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
use roost_core::{AppState, Fate, Grant, Refusal, Request, Verdict, WaiterId};
use roost_wire::{MachineState, TransportPort};
use serde_json::json;

const CALL: Request<'static> = Request {
    port: TransportPort::tcp(80),
    exclude: &[],
    wish: None,
    held_bytes: 0,
};

fn state() -> AppState {
    let mut state = AppState::default();
    let started = machine("m1", MachineState::Started, json!({}));
    state.put(started, at(&limits(), 1));
    state
}

fn used(state: &mut AppState) -> Grant {
    match state.acquire(CALL, at(&limits(), 2)) {
        (Verdict::Use(grant), _) => grant,
        other => panic!("no unit: {other:?}"),
    }
}

fn waits(state: &mut AppState) -> (WaiterId, Vec<String>) {
    match state.acquire(CALL, at(&limits(), 2)) {
        (Verdict::Wait { waiter, .. }, effects) => (waiter, words(&effects)),
        other => panic!("no wait: {other:?}"),
    }
}

/// Units, drains and the line are told, first come first; from then on every call is an ask.
#[test]
fn tells_everything_and_asks_from_then_on() {
    let mut elder = state();
    let held: Vec<Grant> = (0..3).map(|_| used(&mut elder)).collect();
    let (first, _) = waits(&mut elder);
    let (second, _) = waits(&mut elder);
    elder.drain("m1", false, at(&limits(), 3));
    let handed = elder.hand_over();
    assert_eq!(handed.units, [("m1".into(), 8080.into(), 3)]);
    assert_eq!(handed.draining, ["m1".into()]);
    let asked: Vec<WaiterId> = handed.asks.iter().map(|ask| ask.waiter).collect();
    assert_eq!(asked, [first, second]);
    // A free unit is not given to the first in line: that is the heir's to do.
    let (_, effects) = elder.release(held[0].key, Fate::Unknown, at(&limits(), 4));
    assert!(effects.is_empty());
    let (third, effects) = waits(&mut elder);
    assert_eq!(effects, [format!("ask {} 80", third.0)]);
}

/// Units that the elder holds fill the heir's limit until they are given back.
#[test]
fn counted_units_fill_the_limit() {
    let mut heir = state();
    let counted: Vec<Grant> = (0..3)
        .map(|_| heir.count_unit("m1", 8080.into()).unwrap())
        .collect();
    let (waiter, _) = waits(&mut heir);
    assert_eq!(heir.load(), 3);
    let (_, effects) = heir.release(counted[0].key, Fate::Unknown, at(&limits(), 4));
    assert_eq!(words(&effects), [format!("grant {} m1", waiter.0)]);
    assert!(
        heir.count_unit("m9", 8080.into()).is_none() && heir.count_unit("m1", 1.into()).is_none()
    );
}

/// What comes back for a waiter is his once; who has left the line gets nothing.
#[test]
fn answers_reach_only_those_who_still_wait() {
    let mut elder = state();
    elder.hand_over();
    let value = machine("m1", MachineState::Started, json!({}));
    let (gone, _) = waits(&mut elder);
    let (there, _) = waits(&mut elder);
    let (refused, _) = waits(&mut elder);
    assert!(elder.cancel(gone));
    assert!(
        elder
            .granted(gone, &value, 8080.into(), at(&limits(), 3))
            .is_none()
    );
    let grant = elder
        .granted(there, &value, 8080.into(), at(&limits(), 3))
        .unwrap();
    assert_eq!((elder.load(), elder.counts(grant.key)), (1, true));
    assert!(
        elder
            .granted(there, &value, 8080.into(), at(&limits(), 3))
            .is_none()
    );
    let effect = elder.refused_there(refused, Refusal::Exhausted).unwrap();
    assert_eq!(words(&[effect]), [format!("fail {} PR03", refused.0)]);
    assert!(elder.refused_there(refused, Refusal::Exhausted).is_none());
}

/// A unit of a Machine that the elder has not heard of yet is counted like any other.
#[test]
fn learns_of_a_machine_by_its_grant() {
    let mut elder = AppState::default();
    elder.hand_over();
    let (waiter, _) = waits(&mut elder);
    let value = machine("m2", MachineState::Started, json!({}));
    let grant = elder
        .granted(waiter, &value, 8080.into(), at(&limits(), 3))
        .unwrap();
    assert_eq!(elder.load(), 1);
    elder.put(value, at(&limits(), 4));
    elder.release(grant.key, Fate::Unknown, at(&limits(), 5));
    assert_eq!(elder.load(), 0);
}

/// When nothing comes of it the line is served at once by the state itself.
#[test]
fn decides_again_when_it_is_taken_back() {
    let mut elder = state();
    elder.hand_over();
    let (waiter, _) = waits(&mut elder);
    let effects = elder.take_back(at(&limits(), 3));
    assert_eq!(words(&effects), [format!("grant {} m1", waiter.0)]);
    assert!(!elder.is_guest());
}

/// A guest wakes nobody, whatever becomes of its Machines.
#[test]
fn a_guest_wakes_nobody() {
    let mut elder = AppState::default();
    let limits = limits();
    elder.put(
        machine("m1", MachineState::Stopped, json!({})),
        at(&limits, 1),
    );
    assert_eq!(waits(&mut elder).1, ["wake m1"]);
    elder.hand_over();
    for state in [
        MachineState::Stopping,
        MachineState::Stopped,
        MachineState::Started,
    ] {
        let effects = elder.put(machine("m1", state, json!({})), at(&limits, 2));
        assert!(effects.is_empty());
    }
    assert!(elder.wakes(false).is_empty());
}
