//! Every name form of the two zones: what it holds, what exists without records, what does not exist.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use hickory_proto::op::ResponseCode::{NXDomain, NoError};
use hickory_proto::rr::RecordType::{A, AAAA, ANY, MX, PTR, SOA, TXT};
use hickory_proto::rr::{RData, RecordType};
use support::{World, ask, numbers, text};

/// Address names answer the started Machines they speak of, and no other.
#[test]
fn address_names() {
    let world = World::example();
    let cases: [(&str, &[u16]); 17] = [
        ("web.internal.", &[1, 2, 3]),
        ("global.web.internal.", &[1, 2, 3]),
        ("fra.web.internal.", &[2]),
        ("FRA.Web.InterNal.", &[2]),
        ("ord.web.internal.", &[]),
        ("top1.nearest.of.web.internal.", &[1]),
        ("top2.nearest.of.web.internal.", &[1, 2]),
        (
            "top99999999999999999999999.nearest.of.web.internal.",
            &[1, 2, 3],
        ),
        ("worker.process.web.internal.", &[3]),
        ("app.process.web.internal.", &[1, 2]),
        ("none.process.web.internal.", &[]),
        ("aaa3.vm.web.internal.", &[3]),
        ("aaa4.vm.web.internal.", &[]),
        ("bbb1.vm.web.internal.", &[]),
        ("db.main.role.kv._metadata.web.internal.", &[2]),
        ("db\\.main.role.kv._metadata.web.internal.", &[2]),
        ("other.role.kv._metadata.web.internal.", &[]),
    ];
    for (name, expected) in cases {
        let reply = ask(&world, name, AAAA);
        assert_eq!(NoError, reply.metadata.response_code, "{name}");
        assert_eq!(expected, numbers(&reply), "{name}");
        assert!(
            reply.metadata.authoritative && reply.metadata.recursion_available,
            "{name}"
        );
        assert_eq!(
            usize::from(expected.is_empty()),
            reply.authorities.len(),
            "{name}"
        );
        assert!(reply.answers.iter().all(|record| record.ttl == 5), "{name}");
    }
}

/// The nearest Machines come nearest first.
#[test]
fn nearest_is_ordered() {
    let reply = ask(&World::example(), "top3.nearest.of.web.internal.", AAAA);
    let order: Vec<_> = reply
        .answers
        .iter()
        .map(|record| record.data.to_string())
        .collect();
    let expected = [
        "fdaa:0:1:0:2:0:1:2",
        "fdaa:0:1:0:2:0:2:2",
        "fdaa:0:1:0:2:0:3:2",
    ];
    assert_eq!(expected, &order[..]);
}

/// The order of equals is drawn anew, so that the first one is not always the same.
#[test]
fn order_is_random() {
    let world = World::example();
    let query = support::query("web.internal.", AAAA, None)
        .to_vec()
        .unwrap();
    let firsts: std::collections::BTreeSet<_> = (0..64_u64)
        .map(|seed| {
            let mut random = || seed;
            match roost_dns::answer(&query, &world, roost_dns::Transport::Udp, &mut random) {
                roost_dns::Outcome::Reply(bytes) => bytes[40..56].to_vec(),
                _ => Vec::new(),
            }
        })
        .collect();
    assert_eq!(3, firsts.len());
}

/// Text names list what they say in one logical string.
#[test]
fn text_names() {
    let world = World::example();
    let instances = "instance=aaa1,app=web,ip=fdaa:0:1:0:2:0:1:2,region=ams;\
                     instance=aaa2,app=web,ip=fdaa:0:1:0:2:0:2:2,region=fra;\
                     instance=aaa3,app=web,ip=fdaa:0:1:0:2:0:3:2,region=sin";
    let all = format!("{instances};instance=aaa4,app=web,ip=fdaa:0:1:0:2:0:4:2,region=ord");
    let cases = [
        ("regions.web.internal.", "ams,fra,sin"),
        ("all.regions.web.internal.", "ams,fra,ord,sin"),
        ("vms.web.internal.", "aaa1 ams,aaa2 fra,aaa3 sin"),
        (
            "all.vms.web.internal.",
            "aaa1 ams,aaa2 fra,aaa3 sin,aaa4 ord",
        ),
        ("_apps.internal.", "quiet,web"),
        ("_instances.internal.", instances),
        ("all._instances.internal.", &all),
    ];
    for (name, expected) in cases {
        assert_eq!(expected, text(&ask(&world, name, TXT)), "{name}");
    }
}

/// A name that exists without the record asked is NOERROR with the zone's SOA, kept for 5 seconds.
#[test]
fn names_without_records() {
    let world = World::example();
    let cases: [(&str, RecordType); 19] = [
        ("web.internal.", A),
        ("web.internal.", MX),
        ("web.internal.", TXT),
        ("web.flycast.", A),
        ("web.flycast.", TXT),
        ("quiet.internal.", AAAA),
        ("regions.quiet.internal.", TXT),
        ("regions.web.internal.", AAAA),
        ("_apps.internal.", AAAA),
        ("_api.internal.", AAAA),
        ("_peer.internal.", TXT),
        ("vm.web.internal.", AAAA),
        ("nearest.of.web.internal.", AAAA),
        ("of.web.internal.", AAAA),
        ("kv._metadata.web.internal.", AAAA),
        ("role.kv._metadata.web.internal.", AAAA),
        ("internal.", AAAA),
        ("flycast.", AAAA),
        ("a.a.d.f.ip6.arpa.", PTR),
    ];
    for (name, kind) in cases {
        let reply = ask(&world, name, kind);
        assert_eq!(NoError, reply.metadata.response_code, "{name}");
        assert!(reply.answers.is_empty(), "{name}: {reply}");
        let [record] = &reply.authorities[..] else {
            panic!("{name}: {reply}")
        };
        let RData::SOA(soa) = &record.data else {
            panic!("{name}: {reply}")
        };
        assert_eq!((5, 5), (record.ttl, soa.minimum), "{name}");
    }
}

/// Names nobody has do not exist, whatever is asked of them.
#[test]
fn missing_names() {
    let world = World::example();
    let names = [
        "nobody.internal.",
        "fra.nobody.internal.",
        "guest.internal.",
        "console.internal.",
        "bbb1.vm.console.internal.",
        "peer1._peer.internal.",
        "x._apps.internal.",
        "x._fly-src.internal.",
        "_nothing.internal.",
        "top0.nearest.of.web.internal.",
        "top.nearest.of.web.internal.",
        "top-1.nearest.of.web.internal.",
        "bad\\.label.web.internal.",
        "a.b.web.internal.",
        "a.b.c.web.internal.",
        "quiet.flycast.",
        "nobody.flycast.",
        "www.web.flycast.",
    ];
    for name in names {
        for kind in [AAAA, TXT, A, ANY] {
            let reply = ask(&world, name, kind);
            assert_eq!(NXDomain, reply.metadata.response_code, "{name} {kind}");
            assert_eq!(
                (0, 1),
                (reply.answers.len(), reply.authorities.len()),
                "{name}"
            );
        }
    }
}

/// A Flycast name resolves where the app has an address, whoever owns the app.
#[test]
fn flycast_names() {
    let world = World::example();
    for (name, expected) in [
        ("web.flycast.", "fdaa:0:1:0:1::2"),
        ("Guest.FLYCAST.", "fdaa:0:1:0:1::3"),
    ] {
        let reply = ask(&world, name, AAAA);
        assert_eq!(1, reply.answers.len(), "{name}");
        assert_eq!(expected, reply.answers[0].data.to_string(), "{name}");
        assert_eq!(
            name,
            reply.answers[0].name.to_ascii(),
            "the asker's case comes back"
        );
    }
}

/// ANY gets one small record, never the whole set; SOA is answered at the top of a zone.
#[test]
fn any_and_soa() {
    let world = World::example();
    let any = ask(&world, "web.internal.", ANY);
    assert!(matches!(any.answers[..], [ref one] if one.record_type() == RecordType::HINFO));
    let soa = ask(&world, "internal.", SOA);
    assert!(matches!(soa.answers[..], [ref one] if one.record_type() == SOA));
}

/// Addresses lead back to names inside the caller's network, and nowhere else.
#[test]
fn reverse_names() {
    let world = World::example();
    let reverse = |text: &str| {
        let address: std::net::Ipv6Addr = text.parse().unwrap();
        let nibbles = format!("{:032x}", address.to_bits());
        let labels: Vec<String> = nibbles.chars().rev().map(String::from).collect();
        format!("{}.ip6.arpa.", labels.join("."))
    };
    let found = [
        ("fdaa:0:1:0:2:0:1:2", "aaa1.vm.web.internal."),
        ("fdaa:0:1:0:1::2", "web.flycast."),
        ("fdaa:0:1:0:1::3", "guest.flycast."),
    ];
    for (address, expected) in found {
        let reply = ask(&world, &reverse(address), PTR);
        assert_eq!(1, reply.answers.len(), "{address}");
        assert_eq!(expected, reply.answers[0].data.to_string(), "{address}");
        let other = ask(&world, &reverse(address), TXT);
        assert_eq!(
            (NoError, 0),
            (other.metadata.response_code, other.answers.len())
        );
    }
    let asleep_hidden_unknown_foreign = [
        "fdaa:0:1:0:2:0:4:2",
        "fdaa:0:1:0:2:0:5:2",
        "fdaa:0:1::9",
        "fdaa:0:2:0:1::2",
        "fdaa::3",
    ];
    for address in asleep_hidden_unknown_foreign {
        let reply = ask(&world, &reverse(address), PTR);
        assert_eq!(NXDomain, reply.metadata.response_code, "{address}");
    }
}

/// Half a reverse name exists on the way to the caller's network and not beside it.
#[test]
fn partial_reverse_names() {
    let world = World::example();
    let cases = [
        ("0.a.a.d.f.ip6.arpa.", NoError),
        ("1.0.0.0.0.0.0.0.a.a.d.f.ip6.arpa.", NoError),
        ("0.0.1.0.0.0.0.0.0.0.a.a.d.f.ip6.arpa.", NoError),
        ("2.0.0.0.0.0.0.0.a.a.d.f.ip6.arpa.", NXDomain),
        ("7.a.a.d.f.ip6.arpa.", NXDomain),
        ("xx.a.a.d.f.ip6.arpa.", NXDomain),
        ("g.0.a.a.d.f.ip6.arpa.", NXDomain),
    ];
    for (name, expected) in cases {
        assert_eq!(
            expected,
            ask(&world, name, PTR).metadata.response_code,
            "{name}"
        );
    }
}

/// The key of `Fly-Src` is a TXT record; without a key its name has none.
#[test]
fn the_key_of_fly_src() {
    let mut world = World::example();
    world.source_key = Some("v=1;k=ed25519;p=AAA=".into());
    let reply = ask(&world, "_FLY-src.internal.", TXT);
    assert_eq!("v=1;k=ed25519;p=AAA=", text(&reply));
    for (key, kind) in [(None, TXT), (world.source_key, AAAA)] {
        let world = World {
            source_key: key,
            ..World::example()
        };
        let reply = ask(&world, "_fly-src.internal.", kind);
        assert_eq!(NoError, reply.metadata.response_code);
        assert!(reply.answers.is_empty());
    }
}
