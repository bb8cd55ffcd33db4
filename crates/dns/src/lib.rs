//! What the private networks' DNS answers, without a socket, a clock or a source of randomness.
//!
//! [`answer`] takes the bytes of one query, the caller's network as a [`NetworkView`] and gives
//! back what to do: send a reply, pass the query on to the host's resolvers ([`Forward`]), or stay
//! silent. It holds nothing between two calls and allocates in proportion to one message, so a
//! caller can neither make it grow nor make it panic. Its counterpart is the server in
//! `roost-proxy`, which owns sockets, deadlines and bounds.
//!
//! Three zones are answered here and never passed on, so that no private name leaks to the host's
//! resolvers: `internal.`, `flycast.` and the reverse names of `fdaa::/16`.

mod flycast;
mod forward;
mod internal;
mod message;
mod reply;
mod reverse;
mod text;
mod view;
mod zone;

pub use forward::{Failure, Forward, Verdict};
pub use message::{MAX_QUERY, Transport, UDP_PAYLOAD};
pub use view::{MachineView, NetworkView, Owner};

/// What to do with one query.
#[derive(Debug)]
pub enum Outcome {
    /// Send these bytes to the caller.
    Reply(Vec<u8>),
    /// Ask a resolver of the host.
    Forward(Box<Forward>),
    /// Send nothing: it was no query.
    Drop,
}

/// Answers one DNS message as it came from `caller`.
///
/// `query` is the message without TCP's length prefix. `random` orders address records, so that
/// callers which take the first one spread over all Machines. Never blocks.
pub fn answer(
    query: &[u8],
    caller: &impl NetworkView,
    transport: Transport,
    random: &mut impl FnMut() -> u64,
) -> Outcome {
    let request = match message::Request::parse(query, transport) {
        message::Parsed::Request(request) => request,
        message::Parsed::Reject(reply) => return Outcome::Reply(reply),
        message::Parsed::Drop => return Outcome::Drop,
    };
    let name = request.question().name().to_lowercase();
    let labels: Vec<&[u8]> = name.iter().collect();
    match zone::Zone::of(&labels) {
        None => Outcome::Forward(Box::new(Forward::new(request, query))),
        Some((zone, below)) => Outcome::Reply(zone.reply(&request, below, caller, random)),
    }
}
