//! Whatever bytes come: no panic, no oversized reply, no reply that is not one.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use proptest::prelude::*;
use roost_dns::{Outcome, Transport, UDP_PAYLOAD};
use support::{World, outcome, query};

const NAMES: [&str; 12] = [
    "web.internal.",
    "top2.nearest.of.web.internal.",
    "db.main.role.kv._metadata.web.internal.",
    "vms.web.internal.",
    "all._instances.internal.",
    "_apps.internal.",
    "nobody.internal.",
    "web.flycast.",
    "flycast.",
    "2.0.0.0.1.0.0.0.0.0.0.0.2.0.0.0.0.0.0.0.1.0.0.0.0.0.0.0.a.a.d.f.ip6.arpa.",
    "1.0.a.a.d.f.ip6.arpa.",
    "example.com.",
];

fn kinds() -> impl Strategy<Value = RecordType> {
    let usual = [
        RecordType::AAAA,
        RecordType::TXT,
        RecordType::PTR,
        RecordType::ANY,
    ];
    prop_oneof![
        any::<u16>().prop_map(RecordType::from),
        prop::sample::select(usual.to_vec())
    ]
}

fn check(message: &[u8]) -> Result<(), TestCaseError> {
    let world = World::example();
    for (transport, limit) in [
        (Transport::Udp, usize::from(UDP_PAYLOAD)),
        (Transport::Tcp, 65_535),
    ] {
        match outcome(&world, message, transport) {
            Outcome::Reply(reply) => {
                prop_assert!((12..=limit).contains(&reply.len()));
                prop_assert!(Message::from_vec(&reply).is_ok(), "{:?}", reply);
                prop_assert_eq!(&message[..2], &reply[..2]);
                prop_assert!(reply[2] & 0x80 != 0 && message[2] & 0x80 == 0);
            }
            Outcome::Forward(forward) => {
                prop_assert_eq!(message.len(), forward.upstream(1).len());
                let _ = forward.judge(1, message);
                prop_assert!(forward.fail(roost_dns::Failure::Silence).len() <= 512);
            }
            Outcome::Drop => prop_assert!(message.len() < 12 || message[2] & 0x80 != 0),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Random bytes behind a plausible header are survived.
    #[test]
    fn random_bytes(head in prop::collection::vec(any::<u8>(), 0..12), body in prop::collection::vec(any::<u8>(), 0..600)) {
        let plausible = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        check(&[&plausible[..], &body].concat())?;
        check(&[&head[..], &body].concat())?;
    }

    /// Well-formed queries with bytes changed, added and cut off are survived.
    #[test]
    fn mutated_queries(
        name in prop::sample::select(&NAMES[..]),
        kind in kinds(),
        edns in prop::option::of(any::<u16>()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        cutting in any::<bool>(),
    ) {
        let mut bytes = query(name, kind, edns).to_vec().unwrap();
        check(&bytes)?;
        for (index, value) in changes {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        if cutting {
            bytes.truncate(cut.index(bytes.len()));
        }
        check(&bytes)?;
    }

    /// Names of arbitrary labels under the zones are survived and stay in the zone.
    #[test]
    fn arbitrary_labels(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..8), zone in 0..2_usize) {
        let top: &[u8] = [&b"\x08internal\0"[..], &b"\x07FlyCast\0"[..]][zone];
        let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in &labels {
            bytes.push(label.len() as u8);
            bytes.extend(label);
        }
        bytes.extend([top, &[0, 28, 0, 1]].concat());
        check(&bytes)?;
        prop_assert!(matches!(outcome(&World::example(), &bytes, Transport::Udp), Outcome::Reply(_)));
    }
}
