//! Message rules: sizes, truncation, EDNS, what is refused, what is dropped, what is passed on.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(clippy::unnecessary_box_returns)]

mod support;

use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Name, RecordType};
use roost_dns::{Failure, Forward, Outcome, Transport, UDP_PAYLOAD, Verdict};
use support::{World, ask, outcome, query, reply_bytes, text};

fn crowd(size: usize) -> World {
    let mut world = World::default();
    for number in 0..size {
        world.add(&format!("{number:014x}"), "web", "ams", "app");
    }
    world
}

fn code_of(bytes: &[u8]) -> ResponseCode {
    Message::from_vec(bytes).unwrap().metadata.response_code
}

fn sent(message: &Message, transport: Transport) -> (usize, Message) {
    let bytes = reply_bytes(&crowd(2000), &message.to_vec().unwrap(), transport);
    (bytes.len(), Message::from_vec(&bytes).unwrap())
}

/// A UDP reply never passes what the caller takes nor 1232 bytes, holds what fits and says so; TCP
/// has it all.
#[test]
fn addresses_are_cut_to_size() {
    let cases = [
        (None, 512),
        (Some(100), 512),
        (Some(900), 900),
        (Some(4096), 1232),
    ];
    for (edns, limit) in cases {
        let (size, reply) = sent(
            &query("web.internal.", RecordType::AAAA, edns),
            Transport::Udp,
        );
        assert!(reply.metadata.truncation, "{edns:?}");
        assert!(
            size <= limit && size + 28 > limit,
            "{edns:?}: {size} of {limit}"
        );
        assert_eq!(edns.is_some(), reply.edns.is_some());
    }
    let (_, whole) = sent(
        &query("web.internal.", RecordType::AAAA, None),
        Transport::Tcp,
    );
    assert_eq!(
        (2000, false),
        (whole.answers.len(), whole.metadata.truncation)
    );
}

/// A text that does not fit a datagram is left out whole; over TCP it comes in strings of 255 bytes.
#[test]
fn texts_are_cut_to_nothing() {
    let asked = query("vms.web.internal.", RecordType::TXT, Some(1232));
    let (_, cut) = sent(&asked, Transport::Udp);
    assert_eq!((0, true), (cut.answers.len(), cut.metadata.truncation));
    let (_, whole) = sent(&asked, Transport::Tcp);
    assert!(!whole.metadata.truncation);
    let listed = text(&whole);
    assert_eq!(2000, listed.split(',').count());
    assert!(listed.starts_with("00000000000000 ams,00000000000001 ams,"));
}

/// A list beyond what any message can hold ends at a whole entry and is marked as cut.
#[test]
fn endless_texts_end_at_an_entry() {
    let asked = query("vms.web.internal.", RecordType::TXT, None)
        .to_vec()
        .unwrap();
    let bytes = reply_bytes(&crowd(9000), &asked, Transport::Tcp);
    let reply = Message::from_vec(&bytes).unwrap();
    assert!(reply.metadata.truncation && bytes.len() > 65_000);
    assert!(text(&reply).split(',').all(|entry| entry.len() == 18));
}

/// Too many addresses for one message of TCP are cut and marked.
#[test]
fn endless_addresses_are_marked() {
    let asked = query("web.internal.", RecordType::AAAA, None)
        .to_vec()
        .unwrap();
    let bytes = reply_bytes(&crowd(4000), &asked, Transport::Tcp);
    let reply = Message::from_vec(&bytes).unwrap();
    assert!(reply.metadata.truncation && reply.answers.len() > 2300);
}

/// An EDNS version from the future is answered BADVERS, an unknown option is no matter.
#[test]
fn edns_versions_and_options() {
    let world = World::example();
    let mut asked = query("web.internal.", RecordType::AAAA, Some(1232));
    let option = EdnsOption::Unknown(65_001, vec![1, 2, 3]);
    asked.edns.as_mut().unwrap().options_mut().insert(option);
    let plain = reply_bytes(&world, &asked.to_vec().unwrap(), Transport::Udp);
    let plain = Message::from_vec(&plain).unwrap();
    assert_eq!(3, plain.answers.len());
    assert_eq!(
        UDP_PAYLOAD,
        plain.edns.as_ref().map_or(0, Edns::max_payload)
    );
    assert!(plain.edns.unwrap().options().options.is_empty());

    asked.edns.as_mut().unwrap().set_version(1);
    let refused = reply_bytes(&world, &asked.to_vec().unwrap(), Transport::Udp);
    // The same number as BADSIG, which is what the library reads it as.
    assert_eq!(16, u16::from(code_of(&refused)));
}

/// A caller that sends no OPT record gets none.
#[test]
fn no_edns_without_asking() {
    assert!(
        ask(&World::example(), "web.internal.", RecordType::AAAA)
            .edns
            .is_none()
    );
}

/// What is no answerable query is refused with the right code, and a response is dropped.
#[test]
fn refusals() {
    let world = World::example();
    let good = query("web.internal.", RecordType::AAAA, None);
    let change = |index: usize, value: u8| {
        let mut bytes = good.to_vec().unwrap();
        bytes[index] = value;
        bytes
    };
    let mut trailing = good.to_vec().unwrap();
    trailing.push(0);
    let mut long = good.to_vec().unwrap();
    long.resize(5000, 0);
    let mut chaos = good.clone();
    chaos.queries[0].query_class = DNSClass::CH;
    let mut any_class = good.clone();
    any_class.queries[0].query_class = DNSClass::ANY;
    let mut transfer = good.clone();
    transfer.queries[0].query_type = RecordType::AXFR;
    let cases = [
        (change(2, 0x28), ResponseCode::NotImp),
        (change(5, 0), ResponseCode::FormErr),
        (change(5, 2), ResponseCode::FormErr),
        (change(7, 1), ResponseCode::FormErr),
        (change(11, 1), ResponseCode::FormErr),
        (change(12, 60), ResponseCode::FormErr),
        (trailing, ResponseCode::FormErr),
        (long, ResponseCode::FormErr),
        (chaos.to_vec().unwrap(), ResponseCode::Refused),
        (any_class.to_vec().unwrap(), ResponseCode::Refused),
        (transfer.to_vec().unwrap(), ResponseCode::Refused),
    ];
    for (message, expected) in cases {
        let reply = reply_bytes(&world, &message, Transport::Udp);
        let reply = Message::from_vec(&reply).unwrap();
        assert_eq!(expected, reply.metadata.response_code);
        assert_eq!(
            (0x1234, MessageType::Response),
            (reply.metadata.id, reply.metadata.message_type)
        );
    }
    for dropped in [change(2, 0x80), vec![0; 11], Vec::new()] {
        assert!(matches!(
            outcome(&world, &dropped, Transport::Udp),
            Outcome::Drop
        ));
    }
}

fn forward(name: &str, transport: Transport, edns: Option<u16>) -> Box<Forward> {
    let message = query(name, RecordType::A, edns).to_vec().unwrap();
    match outcome(&World::example(), &message, transport) {
        Outcome::Forward(forward) => forward,
        other => panic!("not forwarded but {other:?}"),
    }
}

/// What is not ours is passed on, private names and addresses never are.
#[test]
fn only_foreign_names_are_forwarded() {
    let world = World::example();
    let asked = |name: &str| {
        let message = query(name, RecordType::PTR, None).to_vec().unwrap();
        matches!(
            outcome(&world, &message, Transport::Udp),
            Outcome::Forward(_)
        )
    };
    for name in [
        "example.com.",
        ".",
        "localhost.",
        "internal.example.",
        "1.0.f.ip6.arpa.",
        "arpa.",
    ] {
        assert!(asked(name), "{name}");
    }
    for name in [
        "x.internal.",
        "INTERNAL.",
        "x.FlyCast.",
        "9.a.a.D.F.ip6.arpa.",
        "a.a.d.f.ip6.arpa.",
    ] {
        assert!(!asked(name), "{name}");
    }
}

/// A query goes up as it came but for its id.
#[test]
fn forwarded_unchanged() {
    let original = query("Example.com.", RecordType::A, None).to_vec().unwrap();
    let up = forward("Example.com.", Transport::Udp, None).upstream(0xbeef);
    assert_eq!((&[0xbe, 0xef][..], &original[2..]), (&up[..2], &up[2..]));
}

/// Only an answer to this very question with this very id counts.
#[test]
fn answers_are_checked() {
    let forward = forward("example.com.", Transport::Udp, None);
    let answer_to = |id: u16, name: &str| {
        let mut message = Message::response(id, hickory_proto::op::OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        message
    };
    let judge = |message: &Message| forward.judge(7, &message.to_vec().unwrap());
    assert_eq!(Verdict::Final, judge(&answer_to(7, "EXAMPLE.com.")));
    assert_eq!(Verdict::Foreign, judge(&answer_to(8, "example.com.")));
    assert_eq!(Verdict::Foreign, judge(&answer_to(7, "example.org.")));
    assert_eq!(
        Verdict::Foreign,
        judge(&query("example.com.", RecordType::A, None))
    );
    assert_eq!(Verdict::Foreign, forward.judge(7, &[0, 7, 0x80]));
    let mut troubled = answer_to(7, "example.com.");
    troubled.metadata.response_code = ResponseCode::ServFail;
    assert_eq!(Verdict::Failing, judge(&troubled));
    let mut cut = answer_to(7, "example.com.");
    cut.metadata.truncation = true;
    assert_eq!(Verdict::Truncated, judge(&cut));
}

/// An answer comes back under the caller's id, and one too long for it as a call to use TCP.
#[test]
fn answers_are_relayed() {
    let long = vec![0; 600];
    let plain = forward("example.com.", Transport::Udp, None);
    assert_eq!(vec![0x12, 0x34, 9], plain.relay(vec![0, 7, 9]));
    let cut = Message::from_vec(&plain.relay(long.clone())).unwrap();
    assert!(cut.metadata.truncation && cut.queries.len() == 1);
    let roomy = forward("example.com.", Transport::Udp, Some(1232));
    assert_eq!(600, roomy.relay(long.clone()).len());
    assert_eq!(
        600,
        forward("example.com.", Transport::Tcp, None)
            .relay(long)
            .len()
    );
}

/// No answer is SERVFAIL, with the reason for callers that speak EDNS.
#[test]
fn failures_say_why() {
    let plain = forward("example.com.", Transport::Udp, None).fail(Failure::Silence);
    assert_eq!(ResponseCode::ServFail, code_of(&plain));
    let told = forward("example.com.", Transport::Udp, Some(1232)).fail(Failure::Silence);
    let told = Message::from_vec(&told).unwrap();
    assert_eq!(ResponseCode::ServFail, told.metadata.response_code);
    let options = told.edns.unwrap().options().options.clone();
    assert_eq!(
        vec![EdnsOption::Unknown(15, vec![0, 23])],
        options.into_iter().map(|(_, o)| o).collect::<Vec<_>>()
    );
}
