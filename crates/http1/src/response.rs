//! A response head, read as strictly as a request's.
//!
//! A Machine is trusted no more than a caller: when one client's response could be read as two, the
//! second would go to the next client.

use httparse::Response;

use crate::connection::{Connection, TooMany, tokens};
use crate::error::ResponseError;
use crate::fields::{FieldSlots, Fields, end_to_end};
use crate::framing::{ResponseFraming, Version};
use crate::method::Method;
use crate::name::Name;

/// A valid response head. It borrows the bytes it was read from.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'b, 'h> {
    /// The status, 100 to 999.
    pub status: u16,
    /// How the body is delimited.
    pub framing: ResponseFraming,
    /// The Machine keeps its connection open after this response.
    pub keep_alive: bool,
    /// The app asks for the request to be sent elsewhere (`fly-replay`).
    pub replay: bool,
    pub(crate) reason: &'b str,
    pub(crate) connection: Connection<'b>,
    pub(crate) fields: Fields<'b, 'h>,
}

impl<'b, 'h> ResponseHead<'b, 'h> {
    /// Reads one complete head that answers a request with `method`.
    pub fn parse(
        head: &'b [u8],
        slots: &'h mut FieldSlots<'b>,
        method: Method,
    ) -> Result<Self, ResponseError> {
        let mut parsed = Response::new(&mut []);
        let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut parsed,
            head,
            &mut slots.headers,
        );
        if status.map_err(explain)? != httparse::Status::Complete(head.len()) {
            return Err(ResponseError("the response head is cut short"));
        }
        let version = Version::of(parsed.version);
        let status = parsed.code.filter(|code| *code >= 100);
        let status = status.ok_or(ResponseError("an invalid status"))?;
        let fields = Fields::classify(parsed.headers, &mut slots.names);
        let framing = ResponseFraming::of(fields, version, status, method)?;
        let connection = Connection::of(fields);
        let connection = connection.map_err(|TooMany| ResponseError(TooMany::REASON))?;
        if status == 101
            && fields
                .values(Name::Upgrade)
                .flat_map(tokens)
                .next()
                .is_none()
        {
            return Err(ResponseError("a 101 response without Upgrade"));
        }
        Ok(Self {
            status,
            framing,
            keep_alive: connection.persists(version) && !lies_about_body(fields, status),
            replay: asks_for_replay(fields),
            reason: parsed.reason.unwrap_or_default(),
            connection,
            fields,
        })
    }

    /// Name and value of each field that is not about this connection or how the body is delimited in
    /// HTTP/1.1: what the same response has in another version of HTTP.
    pub fn end_to_end(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        end_to_end(self.fields, self.connection)
    }

    /// The value of the only field of a name, which is none the proxy acts on.
    pub fn only(&self, name: &str) -> Option<&'b [u8]> {
        let mut found = self
            .end_to_end()
            .filter(|(sent, _)| sent.eq_ignore_ascii_case(name));
        let value = found.next()?.1;
        found.next().is_none().then_some(value)
    }

    /// Name and value of the fields about replays.
    pub fn replay_fields(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        let fields = self
            .fields
            .iter()
            .filter(|(name, ..)| *name == Name::FlyReplay);
        fields.map(|(_, name, value)| (name, value))
    }

    /// The response's body says where the request is to go, not its head.
    pub fn replays_by_body(&self) -> bool {
        self.fields.values(Name::ContentType).any(is_replay_json)
    }

    /// The type of a body of at least `least` bytes that may be put into a content coding; `None` when
    /// the response has no such body, is a part of one, has a coding, or forbids it (RFC 9110, 7.7).
    pub fn codable(&self, least: u64) -> Option<&'b [u8]> {
        let (fields, whole) = (self.fields, matches!(self.status, 200..=203));
        let long = match self.framing {
            ResponseFraming::None => false,
            ResponseFraming::Length(length) => length >= least,
            ResponseFraming::Chunked | ResponseFraming::UntilClose => true,
        };
        let has = |wanted| fields.values(wanted).next().is_some();
        let fixed = fields.values(Name::CacheControl).flat_map(tokens);
        let mut fixed = fixed.filter(|token| token.eq_ignore_ascii_case(b"no-transform"));
        if !whole
            || !long
            || has(Name::ContentEncoding)
            || has(Name::ContentRange)
            || fixed.next().is_some()
        {
            return None;
        }
        let mut types = fields.values(Name::ContentType);
        let found = types.next()?;
        types.next().is_none().then_some(found)
    }

    /// The response is an interim one: another follows. 101 is not, it is the last of its connection.
    pub const fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }
}

/// A 204 that speaks of a body may be followed by one: its connection is not used again.
fn lies_about_body(fields: Fields<'_, '_>, status: u16) -> bool {
    status == 204
        && fields.iter().any(|(name, _, value)| match name {
            Name::TransferEncoding => true,
            Name::ContentLength => value != b"0",
            _ => false,
        })
}

fn asks_for_replay(fields: Fields<'_, '_>) -> bool {
    fields.iter().any(|(name, sent, value)| match name {
        Name::FlyReplay => sent.eq_ignore_ascii_case("fly-replay"),
        Name::ContentType => is_replay_json(value),
        _ => false,
    })
}

fn is_replay_json(value: &[u8]) -> bool {
    let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default();
    media_type
        .trim_ascii_end()
        .eq_ignore_ascii_case(b"application/vnd.fly.replay+json")
}

fn explain(error: httparse::Error) -> ResponseError {
    ResponseError(match error {
        httparse::Error::Version => "not an HTTP/1 response",
        httparse::Error::Status => "an invalid status",
        httparse::Error::HeaderName => {
            "an invalid field name, white space before a colon, or a folded line in the response"
        }
        httparse::Error::HeaderValue => "a control byte in a field value of the response",
        _ => "an invalid response head",
    })
}
