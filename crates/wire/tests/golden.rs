//! The sample lines that the tests of both languages read.

#![allow(missing_docs)]
// A test says what is wrong by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fmt::Debug;
use std::path::PathBuf;

use roost_wire::{
    Ack, Address, CheckResult, CheckStatus, Down, DownLine, Elder, Entity, Heir, Level, Role,
    TransportPort, Up, decode, encode,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
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

/// What is left out where it is a default.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// Every key of `expected` is in `found` with the same value; defaults may be added.
fn contains(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => expected.iter().all(|(key, value)| {
            found
                .get(key)
                .map_or(is_nothing(value), |found| contains(found, value))
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
    assert!(lines.len() >= 22);
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

fn hello_lines() -> [(&'static str, Up); 2] {
    [
        (
            "up_hello",
            Up::Hello {
                protocol: 1,
                version: "0.1.0".into(),
                pid: 4711,
                role: Role::Serving,
            },
        ),
        (
            "up_hello_standby",
            Up::Hello {
                protocol: 1,
                version: "0.1.0".into(),
                pid: 4712,
                role: Role::Standby,
            },
        ),
    ]
}

fn log_lines() -> [(&'static str, Up); 3] {
    [
        (
            "up_log",
            Up::Log {
                app: "my-app".into(),
                machine: None,
                level: Level::Error,
                code: Some("PR01".into()),
                message: "no service of the app is on port 81".into(),
                request: None,
            },
        ),
        (
            "up_log_not_allowed",
            Up::Log {
                app: "my-app".into(),
                machine: None,
                level: Level::Warn,
                code: Some("RA01".into()),
                message: "machine 148e21ea7e1d90 of the app other may not call port 5432".into(),
                request: None,
            },
        ),
        (
            "up_log_request",
            Up::Log {
                app: "my-app".into(),
                machine: Some("148e21ea7e1d89".into()),
                level: Level::Warn,
                code: None,
                message: "still waiting".into(),
                request: Some("01JREQUEST-local".into()),
            },
        ),
    ]
}

fn checks_line() -> Up {
    let result = |name: &str, status, output: &str, at| CheckResult {
        name: name.into(),
        status,
        output: output.into(),
        at,
    };
    let output = "GET http://my-app.flycast:8080/: 200 OK";
    let web = "servicecheck-00-http-8080";
    Up::Checks {
        machine: "148e21ea7e1d89".into(),
        instance: "01JMACHINEVERSION".into(),
        results: vec![
            result(web, CheckStatus::Passing, output, 1_764_150_000_000),
            result("db", CheckStatus::Critical, "", 1_764_149_999_000),
        ],
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
    let loads = [(machine(), [(8080.into(), (1, 7))].into())];
    let flows = [(8080.into(), (0, 1)), (TransportPort::udp(5353), (2, 3))];
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
                ..ack.clone()
            }),
        ),
        (
            "up_ack_take_over",
            Up::Ack(Ack {
                seq: 13,
                sockets: Some(10),
                ..ack
            }),
        ),
        ("up_checks", checks_line()),
        (
            "up_certificate",
            Up::Certificate {
                app: app(),
                audience: "acme".into(),
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
            "up_load_udp",
            Up::Load {
                machines: [(machine(), flows.into())].into(),
                waiting: [].into(),
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
    let mut written: Vec<(String, Value)> = log_lines()
        .iter()
        .chain(&made)
        .chain(&hello_lines())
        .map(|(name, line)| {
            out.clear();
            encode(line, &mut out).unwrap();
            ((*name).to_owned(), serde_json::from_slice(&out).unwrap())
        })
        .collect();
    written.sort_by(|one, other| one.0.cmp(&other.0));
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

/// What is left out of a network, an app and a service means what it meant before there was a word
/// for it, and is left out again.
#[test]
fn leaves_out_what_is_usual() {
    for name in ["down_put_app", "down_put_network", "down_put_machine"] {
        let lines = lines(name);
        let (_, line) = &lines[0];
        let read: DownLine = decode(line.to_string().as_bytes()).unwrap();
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(written["value"], line["value"], "{name}");
    }
    let put = br#"{"seq":2,"op":"put","kind":"app","value":{"id":"a","org":"o","network":"1",
        "addresses":[{"network":"1","ip":"fdaa::1"}]}}"#;
    let Down::Put(Entity::App(app)) = decode(put).unwrap().op else {
        panic!("not an app")
    };
    assert_eq!((app.drain_ms, app.hosts.len()), (5_000, 0));
    let address = &app.addresses[0];
    assert!(!address.shared && address.offers(80) && address.offers(1));
}

/// An address with ports offers these and no others, none of them when the list is empty.
#[test]
fn an_address_offers_its_ports() {
    for (ports, offered) in [("[80,443]", [true, false]), ("[]", [false, false])] {
        let value = format!(r#"{{"network":"1","ip":"192.0.2.7","ports":{ports}}}"#);
        let address: Address = serde_json::from_str(&value).unwrap();
        assert_eq!([address.offers(80), address.offers(81)], offered);
    }
}

/// Nor does that of a certificate.
#[test]
fn keys_of_certificates_are_not_printed() {
    let (_, line) = &lines("down_put_certificate")[0];
    let read: DownLine = decode(line.to_string().as_bytes()).unwrap();
    assert!(!format!("{read:?}").contains("(secret)"));
}

/// A key does not show in what is printed of the settings.
#[test]
fn keys_are_not_printed() {
    let (_, line) = &lines("down_hello_src_key")[0];
    let read: DownLine = decode(line.to_string().as_bytes()).unwrap();
    assert!(!format!("{read:?}").contains("AAEC"));
}

/// Nothing is lost of what two proxies say to each other, and unknown keys change nothing.
#[test]
fn reads_every_line_between_proxies() {
    fn again<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, line: &Value) {
        let read: T = serde_json::from_value(line.clone()).unwrap();
        let written = serde_json::to_value(&read).unwrap();
        assert!(contains(&written, line), "{name}: {written}");
        let mut newer = line.clone();
        newer["from_the_future"] = Value::from(1);
        assert_eq!(serde_json::from_value::<T>(newer).unwrap(), read, "{name}");
    }
    let (elder, heir) = (lines("elder_"), lines("heir_"));
    assert_eq!((elder.len(), heir.len()), (11, 6));
    let (elder, later): (Vec<_>, Vec<_>) = elder.into_iter().partition(is_known);
    for (_, line) in later {
        assert_eq!(serde_json::from_value::<Elder>(line).unwrap(), Elder::Other);
    }
    for (name, line) in &elder {
        again::<Elder>(name, line);
    }
    let (heir, later): (Vec<_>, Vec<_>) = heir.into_iter().partition(is_known);
    for (_, line) in later {
        assert_eq!(serde_json::from_value::<Heir>(line).unwrap(), Heir::Other);
    }
    for (name, line) in &heir {
        again::<Heir>(name, line);
    }
}

/// Whether a line between proxies is one of this version.
fn is_known((name, _): &(String, Value)) -> bool {
    !name.ends_with("_later")
}
