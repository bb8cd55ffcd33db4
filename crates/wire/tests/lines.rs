//! Lines out of a stream, and states out of changes.

#![allow(missing_docs)]
// A test says what is wrong by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::net::Ipv6Addr;

use proptest::prelude::*;
use roost_wire::{
    Address, App, Change, DecodeError, Entity, LineReader, MAX_LINE, Machine, Network, State,
    decode,
};
use serde_json::json;

fn collect(reader: &mut LineReader, into: &mut Vec<Result<Vec<u8>, DecodeError>>) {
    while let Some(line) = reader.next_line() {
        into.push(line.map(<[u8]>::to_vec));
    }
}

/// A line that is too long is reported once, skipped to its end, and the next one is read.
#[test]
fn skips_a_line_that_is_too_long() {
    let mut reader = LineReader::new();
    let mut lines = Vec::new();
    for _ in 0..3 {
        reader.push(&vec![b'x'; MAX_LINE]);
        collect(&mut reader, &mut lines);
    }
    reader.push(b"tail\nnext\n");
    collect(&mut reader, &mut lines);
    assert_eq!(lines, [Err(DecodeError::TooLong), Ok(b"next".to_vec())]);
}

/// The longest allowed line is whole, one byte more is not, also when it comes with its newline.
#[test]
fn bounds_exactly() {
    for (length, fits) in [(MAX_LINE, true), (MAX_LINE + 1, false)] {
        let mut reader = LineReader::new();
        let mut lines = Vec::new();
        reader.push(&[&vec![b'x'; length][..], b"\nok\n"].concat());
        collect(&mut reader, &mut lines);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].is_ok(), fits);
        assert_eq!(lines[1], Ok(b"ok".to_vec()));
    }
}

/// What is not understood keeps its number when that can be read.
#[test]
fn tells_the_number_of_a_bad_line() {
    for (line, seq) in [
        ("{", 0),
        ("[]", 0),
        (r#"{"seq":7,"op":"dance"}"#, 7),
        (r#"{"seq":8}"#, 8),
    ] {
        assert_eq!(decode(line.as_bytes()).unwrap_err().seq(), seq, "{line}");
    }
}

fn name() -> impl Strategy<Value = String> {
    "[a-c]{1,2}"
}

fn network() -> impl Strategy<Value = Entity> {
    (name(), prop::option::of(name())).prop_map(|(id, netns)| {
        let word = |word: &str| word.into();
        Entity::Network(Network {
            id: id.into(),
            name: word("n"),
            org: word("o"),
            prefix: word("fdaa:0:1::/48"),
            netns: netns.map(Into::into),
            public: false,
        })
    })
}

fn app() -> impl Strategy<Value = Entity> {
    (
        name(),
        name(),
        prop::collection::vec((name(), any::<u128>()), 0..3),
    )
        .prop_map(|(id, network, addresses)| {
            let address = |(network, ip): (String, u128)| Address {
                network: network.into(),
                ip: Ipv6Addr::from_bits(ip).into(),
                ports: None,
                shared: false,
            };
            Entity::App(App {
                id: id.into(),
                org: "o".into(),
                network: network.into(),
                addresses: addresses.into_iter().map(address).collect(),
                hosts: Vec::new(),
                drain_ms: 5_000,
                cross_network_replays: false,
                replay_sources: Vec::new(),
            })
        })
}

fn machine() -> impl Strategy<Value = Entity> {
    (name(), name(), any::<bool>(), 0..3_u16).prop_map(|(id, app, up, port)| {
        let value = json!({"id": id, "app": app, "network": "1",
            "state": if up { "started" } else { "stopped" },
            "services": [{"internal_port": port, "ports": [{"port": 80, "handlers": ["http"]}]}]});
        let machine: Machine = serde_json::from_value(value).unwrap();
        Entity::Machine(machine)
    })
}

fn state() -> impl Strategy<Value = State> {
    prop::collection::vec(prop_oneof![network(), app(), machine()], 0..12).prop_map(|entities| {
        let mut state = State::default();
        for entity in entities {
            state.apply(Change::Put(entity));
        }
        state
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// However the bytes are cut, the lines are the same.
    #[test]
    fn cuts_do_not_matter(
        lines in prop::collection::vec("[ -~]{0,20}", 0..8),
        cuts in prop::collection::vec(1..9_usize, 1..40),
    ) {
        let bytes: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
        let mut reader = LineReader::new();
        let (mut rest, mut found, mut cuts) = (&bytes[..], Vec::new(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(*cuts.next().unwrap_or(&1).min(&rest.len()));
            reader.push(now);
            collect(&mut reader, &mut found);
            rest = later;
        }
        let expected: Vec<_> = lines.into_iter().map(|line| Ok(line.into_bytes())).collect();
        prop_assert_eq!(found, expected);
    }

    /// `apply(a, diff(a, b)) == b`, also when every change comes twice.
    #[test]
    fn diff_leads_there(a in state(), b in state()) {
        let mut reached = a.clone();
        for change in a.diff(&b) {
            reached.apply(change.clone());
            reached.apply(change);
        }
        prop_assert_eq!(&reached, &b);
        prop_assert!(reached.diff(&b).is_empty());
    }

    /// Every entity survives the wire.
    #[test]
    fn entities_survive_the_wire(entity in prop_oneof![network(), app(), machine()]) {
        let mut line = serde_json::to_value(&entity).unwrap();
        line["seq"] = 3.into();
        line["op"] = "put".into();
        let read = decode(line.to_string().as_bytes()).unwrap();
        prop_assert_eq!(read.op, roost_wire::Down::Put(entity));
    }

    /// No bytes make the decoder panic.
    #[test]
    fn decodes_or_refuses(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }
}
