//! A query that is passed on: what goes up, which answers count, what comes back down.
//!
//! The query goes up unchanged but for its id, and the answer comes down the same way, so that
//! record types, flags and options which this crate knows nothing of work.

use hickory_proto::op::{Header, Query, ResponseCode};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::message::{Request, Transport};
use crate::reply::{Code, Reply};

/// A query for the host's resolvers.
#[derive(Debug)]
pub struct Forward {
    request: Request,
    query: Vec<u8>,
}

/// What a message from a resolver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not an answer to this query: go on waiting.
    Foreign,
    /// An answer that tells of the resolver's own trouble: another resolver may know better.
    Failing,
    /// It did not fit into a datagram.
    Truncated,
    /// The answer.
    Final,
}

/// Why there is no answer; the numbers are RFC 8914's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No resolver is known.
    NoResolver,
    /// None answered in time.
    Silence,
    /// Too much is being asked at once.
    Busy,
}

// === impl Forward ===

impl Forward {
    pub(crate) fn new(request: Request, query: &[u8]) -> Self {
        Self {
            request,
            query: query.to_vec(),
        }
    }

    /// The query to send to a resolver, with an id of the sender's choice.
    pub fn upstream(&self, id: u16) -> Vec<u8> {
        with_id(self.query.clone(), id)
    }

    /// How the caller asked.
    pub fn transport(&self) -> Transport {
        self.request.transport()
    }

    /// Judges a message that came from the resolver asked with `id`.
    pub fn judge(&self, id: u16, message: &[u8]) -> Verdict {
        let mut decoder = BinDecoder::new(message);
        let Ok(header) = Header::read(&mut decoder) else {
            return Verdict::Foreign;
        };
        let asked = self.request.question();
        let flags = message.get(2).copied().unwrap_or(0);
        let is_answer = flags & 0xf8 == 0x80 && header.metadata.id == id;
        if !is_answer || header.counts.queries != 1 {
            return Verdict::Foreign;
        }
        let ours = Query::read(&mut decoder).is_ok_and(|question| {
            question.name() == asked.name()
                && question.query_type() == asked.query_type()
                && question.query_class() == asked.query_class()
        });
        match header.metadata.response_code {
            _ if !ours => Verdict::Foreign,
            ResponseCode::ServFail | ResponseCode::Refused | ResponseCode::NotImp => {
                Verdict::Failing
            }
            _ if header.metadata.truncation => Verdict::Truncated,
            _ => Verdict::Final,
        }
    }

    /// The caller's reply made of a resolver's answer: the caller's own id, cut to what it takes.
    pub fn relay(&self, answer: Vec<u8>) -> Vec<u8> {
        if answer.len() > self.request.limit() {
            let reply = Reply::new(&self.request, Code::NoError);
            return reply.truncated(true).finish();
        }
        with_id(answer, self.request.id())
    }

    /// The caller's reply when there is no answer: SERVFAIL, with the reason where EDNS carries it.
    pub fn fail(&self, failure: Failure) -> Vec<u8> {
        let reason = match failure {
            Failure::Busy => 0,
            Failure::NoResolver => 22,
            Failure::Silence => 23,
        };
        let reply = Reply::new(&self.request, Code::ServFail);
        reply.because(reason).finish()
    }
}

fn with_id(mut message: Vec<u8>, id: u16) -> Vec<u8> {
    if let Some(field) = message.first_chunk_mut::<2>() {
        *field = id.to_be_bytes();
    }
    message
}
