//! Queries at the server's edge: what is read, what is refused at once, how long a reply may be.
//!
//! The rules that need no lookup live here: RFC 1035 (format), RFC 6891 (EDNS), RFC 9619 (exactly
//! one question), RFC 8906 (say NOTIMP rather than nothing).

use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::{DNSClass, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::reply::{Code, Reply, bare};

/// The largest UDP reply, whatever the caller allows: it fits every path unfragmented
/// (DNS flag day 2020).
pub const UDP_PAYLOAD: u16 = 1232;
/// The longest query that is read; real ones, padded, have a few hundred bytes.
pub const MAX_QUERY: usize = 4096;

const HEADER: usize = 12;
/// What RFC 1035 grants a caller that sends no OPT record.
const PLAIN_UDP: u16 = 512;
/// An OPT record without options.
const OPT: usize = 11;
const DNSSEC_OK: u16 = 1 << 15;
const RECURSION_DESIRED: u16 = 1 << 8;
const CHECKING_DISABLED: u16 = 1 << 4;

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram: a long reply is cut and says so.
    Udp,
    /// On a stream: a reply may have 65,535 bytes.
    Tcp,
}

/// A query with exactly one question of class IN.
#[derive(Debug)]
pub(crate) struct Request {
    id: u16,
    echoed_flags: u16,
    question: Query,
    edns: Option<ClientEdns>,
    transport: Transport,
}

/// What matters of the caller's OPT record.
#[derive(Debug, Clone, Copy)]
struct ClientEdns {
    payload: u16,
    dnssec_ok: bool,
    version: u8,
}

/// What a message turned out to be.
#[derive(Debug)]
pub(crate) enum Parsed {
    Request(Request),
    Reject(Vec<u8>),
    Drop,
}

// === impl Request ===

impl Request {
    /// Reads a message.
    pub(crate) fn parse(message: &[u8], transport: Transport) -> Parsed {
        let Some(&header) = message.first_chunk::<HEADER>() else {
            return Parsed::Drop;
        };
        let [id0, id1, flags, ..] = header;
        if flags & 0x80 != 0 {
            // A response: answering it could start two servers talking for ever.
            return Parsed::Drop;
        }
        let request = match header_fault(header, message.len()) {
            Some(code) => Err(code),
            None => Self::read(message, transport).ok_or(Code::FormErr),
        };
        match request {
            Err(code) => Parsed::Reject(bare([id0, id1, flags], code)),
            Ok(request) => match request.refusal() {
                Some(code) => Parsed::Reject(Reply::new(&request, code).finish()),
                None => Parsed::Request(request),
            },
        }
    }

    fn read(message: &[u8], transport: Transport) -> Option<Self> {
        let mut decoder = BinDecoder::new(message);
        let mut asked = Message::read(&mut decoder).ok()?;
        let question = asked.queries.pop()?;
        let flag = |set: bool, bit: u16| if set { bit } else { 0 };
        let echoed_flags = flag(asked.metadata.recursion_desired, RECURSION_DESIRED)
            | flag(asked.metadata.checking_disabled, CHECKING_DISABLED);
        decoder.is_empty().then_some(Self {
            id: asked.metadata.id,
            echoed_flags,
            question,
            edns: asked.edns.as_ref().map(ClientEdns::of),
            transport,
        })
    }

    /// The question asked, its name in the caller's own case.
    pub(crate) fn question(&self) -> &Query {
        &self.question
    }

    /// Bytes of the question's name in a message.
    pub(crate) fn question_name_len(&self) -> usize {
        let labels = self.question.name().iter();
        labels.map(|label| label.len() + 1).sum::<usize>() + 1
    }

    /// The message id that the caller chose.
    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    /// The header bits that a reply repeats (RFC 6895 section 2.1).
    pub(crate) fn echoed_flags(&self) -> u16 {
        self.echoed_flags
    }

    /// The flags of the reply's OPT record; none when the caller sent no OPT record.
    pub(crate) fn edns_flags(&self) -> Option<u16> {
        self.edns
            .map(|edns| if edns.dnssec_ok { DNSSEC_OK } else { 0 })
    }

    /// How the query came.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// The largest reply that the caller can take, in bytes.
    pub(crate) fn limit(&self) -> usize {
        let udp = self.edns.map_or(PLAIN_UDP, |edns| edns.payload);
        usize::from(match self.transport {
            Transport::Udp => udp.clamp(PLAIN_UDP, UDP_PAYLOAD),
            Transport::Tcp => u16::MAX,
        })
    }

    /// Bytes left for records beside the header, the question and the OPT record.
    pub(crate) fn room(&self) -> usize {
        let opt = self.edns.map_or(0, |_| OPT);
        self.limit()
            .saturating_sub(HEADER + self.question_name_len() + 4 + opt)
    }

    fn refusal(&self) -> Option<Code> {
        if self.edns.is_some_and(|edns| edns.version != 0) {
            return Some(Code::BadVers);
        }
        if self.question.query_class() != DNSClass::IN {
            return Some(Code::Refused);
        }
        match self.question.query_type() {
            RecordType::AXFR | RecordType::IXFR => Some(Code::Refused),
            RecordType::OPT => Some(Code::FormErr),
            _ => None,
        }
    }
}

// === impl ClientEdns ===

impl ClientEdns {
    fn of(edns: &Edns) -> Self {
        Self {
            payload: edns.max_payload(),
            dnssec_ok: edns.flags().dnssec_ok,
            version: edns.version(),
        }
    }
}

/// Judges a query's header alone, before anything is allocated by what its counts promise.
fn header_fault(header: [u8; HEADER], length: usize) -> Option<Code> {
    let [_, _, flags, _, q0, q1, a0, a1, n0, n1, _, _] = header;
    if flags & 0x78 != 0 {
        return Some(Code::NotImp);
    }
    let one_question = u16::from_be_bytes([q0, q1]) == 1;
    let fine = one_question && [a0, a1, n0, n1] == [0; 4] && length <= MAX_QUERY;
    (!fine).then_some(Code::FormErr)
}
