//! The sample lines that the tests of both languages read.

#![allow(missing_docs)]
// A test says what is wrong by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::PathBuf;

use roost_wire::{Ack, Down, DownLine, Level, Up, decode, encode};
use serde_json::Value;

fn lines(direction: &str) -> Vec<(String, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../protocol/golden");
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name.starts_with(direction) {
            let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            lines.push((name, file["line"].clone()));
        }
    }
    lines.sort_by(|one, other| one.0.cmp(&other.0));
    lines
}

/// Every key of `expected` is in `found` with the same value; defaults may be added.
fn contains(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => expected.iter().all(|(key, value)| {
            found
                .get(key)
                .map_or(value.is_null(), |found| contains(found, value))
        }),
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len()
                && found
                    .iter()
                    .zip(expected)
                    .all(|(found, value)| contains(found, value))
        }
        _ => found == expected,
    }
}

/// Each downward sample is understood, nothing of it is lost, and an unknown key changes nothing.
#[test]
fn reads_every_downward_line() {
    let lines = lines("down_");
    assert!(lines.len() >= 12);
    for (name, line) in lines {
        let read: DownLine = decode(line.to_string().as_bytes()).unwrap();
        let written = serde_json::to_value(&read).unwrap();
        assert!(contains(&written, &line), "{name}: {written}");
        let mut newer = line.clone();
        newer["from_the_future"] = Value::from(1);
        assert_eq!(
            decode(newer.to_string().as_bytes()).unwrap(),
            read,
            "{name}"
        );
    }
}

/// Each upward sample is what the proxy writes, byte for byte but for the order of keys.
#[test]
fn writes_every_upward_line() {
    let machine = || "148e21ea7e1d89".into();
    let app = || "my-app".into();
    let ack = Ack {
        seq: 4,
        ..Ack::default()
    };
    let loads = [(machine(), [(8080, (1, 7))].into())];
    let counters = [("apps".to_owned(), 1), ("machines".to_owned(), 1)];
    let made = [
        ("up_ack", Up::Ack(ack.clone())),
        (
            "up_ack_drain",
            Up::Ack(Ack {
                seq: 9,
                drained: Some(true),
                load: Some(0),
                ..ack.clone()
            }),
        ),
        (
            "up_ack_error",
            Up::Ack(Ack {
                seq: 5,
                error: Some("the line was not understood".into()),
                ..ack.clone()
            }),
        ),
        (
            "up_ack_stats",
            Up::Ack(Ack {
                seq: 11,
                stats: Some(counters.into()),
                ..ack
            }),
        ),
        (
            "up_hello",
            Up::Hello {
                protocol: 1,
                version: "0.1.0".into(),
                pid: 4711,
            },
        ),
        (
            "up_load",
            Up::Load {
                machines: loads.into(),
                waiting: [(app(), 2)].into(),
            },
        ),
        (
            "up_log",
            Up::Log {
                app: app(),
                machine: None,
                level: Level::Error,
                code: Some("PR01".into()),
                message: "no service of the app is on port 81".into(),
                request: None,
            },
        ),
        (
            "up_log_request",
            Up::Log {
                app: app(),
                machine: Some(machine()),
                level: Level::Warn,
                code: None,
                message: "still waiting".into(),
                request: Some("01JREQUEST-local".into()),
            },
        ),
        (
            "up_ready",
            Up::Ready {
                machine: machine(),
                port: 8080,
                after_us: 5210,
            },
        ),
        (
            "up_wake",
            Up::Wake {
                machine: machine(),
                app: app(),
            },
        ),
    ];
    let mut out = Vec::new();
    let written: Vec<(String, Value)> = made
        .iter()
        .map(|(name, line)| {
            out.clear();
            encode(line, &mut out).unwrap();
            ((*name).to_owned(), serde_json::from_slice(&out).unwrap())
        })
        .collect();
    assert_eq!(written, lines("up_"));
}

/// What is left out of a `hello` and a Machine has the documented default.
#[test]
fn fills_in_defaults() {
    let hello = decode(br#"{"seq":1,"op":"hello","protocol":1,"settings":{"idle_pool_ms":7}}"#);
    let Down::Hello { settings, .. } = hello.unwrap().op else {
        panic!("not a hello")
    };
    assert_eq!(
        (settings.idle_pool_ms, settings.wake_timeout_ms),
        (7, 60_000)
    );
    let put = br#"{"seq":2,"op":"put","kind":"machine","value":{"id":"m","app":"a","network":"1",
        "state":"replacing","services":[{"internal_port":80}]}}"#;
    let written = serde_json::to_value(decode(put).unwrap()).unwrap();
    let value = &written["value"];
    assert_eq!(
        (&value["dns"], &value["cordoned"]),
        (&Value::from(true), &Value::from(false))
    );
    assert_eq!(value["services"][0]["autostart"], true);
    assert_eq!(value["services"][0]["concurrency"]["type"], "connections");
}
