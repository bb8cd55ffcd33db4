//! The zones served here, and how what was found becomes a reply.

use std::net::Ipv6Addr;

use hickory_proto::rr::RecordType;

use crate::message::{Request, Transport};
use crate::reply::{ADDRESS_RECORD, Code, Reply};
use crate::text::Text;
use crate::view::NetworkView;
use crate::{flycast, internal, reverse};

/// A zone that is answered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Internal,
    Flycast,
    /// `a.a.d.f.ip6.arpa.`, the reverse names of `fdaa::/16`.
    Reverse,
}

/// What a name holds of the type asked.
#[derive(Debug)]
pub(crate) enum Found {
    /// In the order to send.
    Addresses(Vec<Ipv6Addr>),
    Text(Text),
    /// A name's labels.
    Pointer(Vec<String>),
    /// The name exists without such a record.
    Nothing,
    /// There is no such name.
    Missing,
}

// === impl Zone ===

impl Zone {
    /// The zone that a name (its labels, in lower case) is in, and its labels below the zone's top.
    pub(crate) fn of<'a, 'n>(labels: &'a [&'n [u8]]) -> Option<(Self, &'a [&'n [u8]])> {
        match labels {
            [below @ .., b"internal"] => Some((Self::Internal, below)),
            [below @ .., b"flycast"] => Some((Self::Flycast, below)),
            [below @ .., b"a", b"a", b"d", b"f", b"ip6", b"arpa"] => Some((Self::Reverse, below)),
            _ => None,
        }
    }

    /// The reply to a question in this zone.
    pub(crate) fn reply(
        self,
        request: &Request,
        below: &[&[u8]],
        caller: &impl NetworkView,
        random: &mut impl FnMut() -> u64,
    ) -> Vec<u8> {
        let kind = request.question().query_type();
        let found = match self {
            _ if below.is_empty() => Found::Nothing,
            Self::Internal => internal::find(below, kind, caller, request.room(), random),
            Self::Flycast => flycast::find(below, kind, caller),
            Self::Reverse => reverse::find(below, kind, caller),
        };
        match (found, kind) {
            (Found::Missing, _) => self.negative(request, Code::NxDomain),
            (_, RecordType::ANY) => positive(request, Reply::minimal),
            (Found::Nothing, RecordType::SOA) if below.is_empty() => {
                positive(request, |reply| reply.authority(self.name_len(), true))
            }
            (found, _) => self.fill(request, found),
        }
    }

    fn fill(self, request: &Request, found: Found) -> Vec<u8> {
        match found {
            Found::Addresses(addresses) if !addresses.is_empty() => {
                // Some callers take what fits and never come back over TCP: send that much.
                let fit = request.room() / ADDRESS_RECORD;
                let cut = addresses.len() > fit;
                let mut reply = Reply::new(request, Code::NoError)
                    .authoritative()
                    .truncated(cut);
                addresses
                    .into_iter()
                    .take(fit)
                    .for_each(|address| reply.address(address));
                reply.finish()
            }
            Found::Text(text) if text.cut && request.transport() == Transport::Udp => {
                let reply = Reply::new(request, Code::NoError).authoritative();
                reply.truncated(true).finish()
            }
            Found::Text(text) if !text.bytes.is_empty() => {
                let reply = Reply::new(request, Code::NoError).authoritative();
                let mut reply = reply.truncated(text.cut);
                reply.text(&text.bytes);
                reply.finish()
            }
            Found::Pointer(labels) => positive(request, |reply| reply.pointer(&labels)),
            _ => self.negative(request, Code::NoError),
        }
    }

    fn negative(self, request: &Request, code: Code) -> Vec<u8> {
        let mut reply = Reply::new(request, code).authoritative();
        reply.authority(self.name_len(), false);
        reply.finish()
    }

    /// Bytes of the zone's own name in a message.
    fn name_len(self) -> usize {
        match self {
            Self::Internal => 10,
            Self::Flycast => 9,
            Self::Reverse => 18,
        }
    }
}

fn positive<'a>(request: &'a Request, add: impl FnOnce(&mut Reply<'a>)) -> Vec<u8> {
    let mut reply = Reply::new(request, Code::NoError).authoritative();
    add(&mut reply);
    reply.finish()
}
