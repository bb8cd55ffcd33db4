//! DNS messages.

use hickory_proto::op::Message;
use roost_dns::{Failure, Outcome, Transport, UDP_PAYLOAD};

#[path = "../../dns/tests/support/mod.rs"]
mod support;

use support::{World, outcome};

/// A query gets a reply to itself that fits, or goes on as it came; anything else gets nothing.
pub(crate) fn message(bytes: &[u8]) {
    let world = World::example();
    for (transport, limit) in [
        (Transport::Udp, usize::from(UDP_PAYLOAD)),
        (Transport::Tcp, 65_535),
    ] {
        match outcome(&world, bytes, transport) {
            Outcome::Reply(reply) => {
                assert!((12..=limit).contains(&reply.len()), "bounded");
                Message::from_vec(&reply).expect("a message");
                assert_eq!(bytes[..2], reply[..2], "the query's id");
                assert!(reply[2] & 0x80 != 0 && bytes[2] & 0x80 == 0);
            }
            Outcome::Forward(forward) => {
                assert_eq!(bytes.len(), forward.upstream(1).len());
                // The query itself, and a reply made of it, are what a resolver might send back.
                let mut answer = bytes.to_vec();
                answer[2] |= 0x80;
                for reply in [bytes, &answer] {
                    let _ = forward.judge(1, reply);
                }
                assert!(forward.fail(Failure::Silence).len() <= 512);
            }
            Outcome::Drop => assert!(bytes.len() < 12 || bytes[2] & 0x80 != 0),
        }
    }
}
