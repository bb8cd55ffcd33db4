//! Writing replies, byte by byte.
//!
//! A reply repeats the question and all its records point back to it, so every record's size is
//! known before it is written; a general encoder, which searches for names to compress and stops
//! doing so in long messages, could not promise that. It also keeps the caller's own spelling of
//! the name, which resolvers that mix cases at random insist on.

use std::net::Ipv6Addr;

use hickory_proto::rr::RecordType;

use crate::message::{Request, UDP_PAYLOAD};

/// Seconds that an answer, or its absence, may be kept.
const TTL: u32 = 5;
/// A name of two bytes that says: as in the question.
const QUESTION_NAME: u16 = 0xc00c;
/// Bytes of a record before its data when its name is a pointer.
pub(crate) const RECORD_HEAD: usize = 12;
/// Bytes of an address record.
pub(crate) const ADDRESS_RECORD: usize = RECORD_HEAD + 16;
/// The longest character-string of a TXT record.
pub(crate) const CHARACTER_STRING: usize = 255;

const AUTHORITATIVE: u16 = 1 << 10;
const TRUNCATED: u16 = 1 << 9;
const RESPONSE_AND_RECURSION: u16 = 1 << 15 | 1 << 7;

/// What a reply says beside its records. The numbers are those of RFC 1035, 6891 and 6895.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    NoError = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
    BadVers = 16,
}

/// A reply being written.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    request: &'a Request,
    bytes: Vec<u8>,
    flags: u16,
    code: Code,
    answers: u16,
    authorities: u16,
    /// The reason of a failure, RFC 8914's number.
    reason: Option<u16>,
}

// === impl Reply ===

impl<'a> Reply<'a> {
    /// A reply without records.
    pub(crate) fn new(request: &'a Request, code: Code) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.resize(12, 0);
        let question = request.question();
        for label in question.name() {
            put_label(&mut bytes, label);
        }
        bytes.push(0);
        put16(&mut bytes, question.query_type().into());
        put16(&mut bytes, question.query_class().into());
        let flags = RESPONSE_AND_RECURSION | request.echoed_flags();
        Self {
            request,
            bytes,
            flags,
            code,
            answers: 0,
            authorities: 0,
            reason: None,
        }
    }

    /// Marks it as coming from the zone itself.
    pub(crate) fn authoritative(mut self) -> Self {
        self.flags |= AUTHORITATIVE;
        self
    }

    /// Marks it as cut.
    pub(crate) fn truncated(mut self, cut: bool) -> Self {
        self.flags |= if cut { TRUNCATED } else { 0 };
        self
    }

    /// Says why it failed.
    pub(crate) fn because(mut self, reason: u16) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Adds an address.
    pub(crate) fn address(&mut self, address: Ipv6Addr) {
        self.answer(RecordType::AAAA, &address.octets());
    }

    /// Adds a text, in as many character-strings as it takes.
    pub(crate) fn text(&mut self, text: &[u8]) {
        let mut data = Vec::with_capacity(text.len() + text.len().div_ceil(CHARACTER_STRING));
        for chunk in text.chunks(CHARACTER_STRING) {
            put_label(&mut data, chunk);
        }
        self.answer(RecordType::TXT, &data);
    }

    /// Adds a name, given label by label.
    pub(crate) fn pointer(&mut self, labels: &[String]) {
        let mut data = Vec::new();
        for label in labels {
            put_label(&mut data, label.as_bytes());
        }
        data.push(0);
        self.answer(RecordType::PTR, &data);
    }

    /// Adds the answer to ANY that is no lever for anybody (RFC 8482 section 4.2).
    pub(crate) fn minimal(&mut self) {
        self.answer(RecordType::HINFO, b"\x07RFC8482\0");
    }

    /// Adds the start of authority of a zone whose name takes `zone` bytes, as an answer or,
    /// otherwise, as the reason why there is none.
    pub(crate) fn authority(&mut self, zone: usize, as_answer: bool) {
        let question = self.request.question_name_len();
        let top = u16::try_from(12 + question.saturating_sub(zone)).unwrap_or(12) | 0xc000;
        let mut data = Vec::with_capacity(48);
        for label in [&b"ns"[..], b"hostmaster"] {
            put_label(&mut data, label);
            put16(&mut data, top);
        }
        // Nothing transfers these zones, so the serial and the timers say nothing; the last one is
        // how long an absence may be kept.
        for number in [1, TTL, TTL, TTL, TTL] {
            data.extend(u32::to_be_bytes(number));
        }
        self.record(top, RecordType::SOA, &data);
        *(if as_answer {
            &mut self.answers
        } else {
            &mut self.authorities
        }) += 1;
    }

    /// The message.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let code = self.code as u16;
        let opt = self
            .request
            .edns_flags()
            .map(|flags| self.put_opt(flags, code >> 4));
        let counts = [1, self.answers, self.authorities, u16::from(opt.is_some())];
        let head = [self.request.id(), self.flags | code & 0xf]
            .into_iter()
            .chain(counts);
        let head = head.flat_map(u16::to_be_bytes);
        self.bytes
            .iter_mut()
            .zip(head)
            .for_each(|(byte, value)| *byte = value);
        self.bytes
    }

    fn answer(&mut self, kind: RecordType, data: &[u8]) {
        self.record(QUESTION_NAME, kind, data);
        self.answers += 1;
    }

    fn record(&mut self, name: u16, kind: RecordType, data: &[u8]) {
        put16(&mut self.bytes, name);
        put16(&mut self.bytes, kind.into());
        put16(&mut self.bytes, 1);
        self.bytes.extend(TTL.to_be_bytes());
        put16(
            &mut self.bytes,
            u16::try_from(data.len()).unwrap_or(u16::MAX),
        );
        self.bytes.extend(data);
    }

    fn put_opt(&mut self, flags: u16, high_code: u16) {
        let bytes = &mut self.bytes;
        bytes.push(0);
        put16(bytes, RecordType::OPT.into());
        put16(bytes, UDP_PAYLOAD);
        put16(bytes, high_code << 8);
        put16(bytes, flags);
        match self.reason {
            None => put16(bytes, 0),
            Some(reason) => [6, 15, 2, reason]
                .into_iter()
                .for_each(|field| put16(bytes, field)),
        }
    }
}

/// A reply of a header alone, for a message whose question cannot be trusted: its first three bytes.
pub(crate) fn bare(head: [u8; 3], code: Code) -> Vec<u8> {
    let [id0, id1, flags] = head;
    let opcode_and_rd = flags & 0x79;
    let reply = [id0, id1, 0x80 | opcode_and_rd, 0x80 | code as u8];
    reply.into_iter().chain([0; 8]).collect()
}

fn put16(bytes: &mut Vec<u8>, value: u16) {
    bytes.extend(value.to_be_bytes());
}

/// A label or a character-string: a length and that many bytes.
fn put_label(bytes: &mut Vec<u8>, label: &[u8]) {
    bytes.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
    bytes.extend(label.iter().take(CHARACTER_STRING));
}
