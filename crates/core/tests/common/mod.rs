//! Machines and moments for the tests of the routing state.

use std::sync::Arc;

use roost_core::{Effect, Limits, Moment};
use roost_wire::{Machine, MachineState, Settings};
use serde_json::json;

/// A Machine of app `a` on port 80 → 8080.
pub(crate) fn machine(id: &str, state: MachineState, more: serde_json::Value) -> Arc<Machine> {
    let mut value = json!({
        "id": id, "app": "a", "network": "1", "region": "here", "instance": "1",
        "state": state.as_str(), "ip4": "172.16.0.6", "startable": true,
        "services": [{"internal_port": 8080, "ports": [{"port": 80}], "autostart": true,
                      "concurrency": {"type": "requests", "soft_limit": 2, "hard_limit": 3}}],
    });
    if let (Some(value), serde_json::Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    Arc::new(serde_json::from_value(value).unwrap())
}

/// Bounds with one-second waits.
pub(crate) fn limits() -> Limits {
    let settings = Settings {
        wake_timeout_ms: 1_000,
        queue_timeout_ms: 2_000,
        max_waiters_app: 4,
        ..Settings::default()
    };
    Limits::new("here".into(), &settings)
}

/// A moment at `now` microseconds.
pub(crate) fn at(limits: &Limits, now: u64) -> Moment<'_> {
    Moment {
        now,
        random: now.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        limits,
    }
}

#[allow(dead_code)] // not every test writes transcripts
/// Effects as short words, for transcripts.
pub(crate) fn words(effects: &[Effect]) -> Vec<String> {
    let word = |effect: &Effect| match effect {
        Effect::Grant(waiter, grant) => format!("grant {} {}", waiter.0, grant.machine.id),
        Effect::Fail(waiter, refusal) => format!("fail {} {}", waiter.0, refusal.code(true)),
        Effect::Wake(machine) => format!("wake {}", machine.id),
        Effect::Ask(ask) => format!("ask {} {}", ask.waiter.0, ask.port),
        Effect::Probe(probe) => format!("probe {} {}", probe.machine.id, probe.internal_port),
        Effect::Watch(watch) if watch.known => format!("watch {} known", watch.machine.id),
        Effect::Watch(watch) => format!("watch {}", watch.machine.id),
        Effect::Unwatch(machine) => format!("unwatch {machine}"),
        Effect::Hurry(machine, _) => format!("hurry {machine}"),
        Effect::Ejected {
            machine,
            code,
            pause,
        } => format!("eject {machine} {code} {}", pause / 1_000),
        Effect::Restored(machine) => format!("restore {machine}"),
    };
    effects.iter().map(word).collect()
}
