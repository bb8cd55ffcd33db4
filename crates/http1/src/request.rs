//! A request head, read strictly.

use httparse::Request;

use crate::connection::{Connection, TooMany, tokens};
use crate::error::RequestError;
use crate::fields::{FieldSlots, Fields, end_to_end};
use crate::framing::{RequestFraming, Version};
use crate::h2c;
use crate::host;
use crate::method::Method;
use crate::name::Name;
use crate::target::{self, Target};

/// The media type of gRPC.
const GRPC: &[u8] = b"application/grpc";

/// What the proxy has to remember of a request once its head is written.
#[allow(clippy::struct_excessive_bools)] // independent facts, not states
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFacts {
    /// The method.
    pub method: Method,
    /// The version the client speaks.
    pub version: Version,
    /// How the body is delimited.
    pub framing: RequestFraming,
    /// The client wants to send more requests on this connection.
    pub keep_alive: bool,
    /// The client offers to go on with another protocol (a WebSocket), and the offer is passed on.
    pub upgrade: bool,
    /// The offer is a WebSocket and nothing else.
    pub websocket: bool,
    /// The body is gRPC, so its sender looks for errors in `grpc-status`.
    pub grpc: bool,
    /// The client says where it wants the request to go (`fly-prefer-region` and the like).
    pub routed: bool,
}

/// A valid request head. It borrows the bytes it was read from.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'b, 'h> {
    /// What outlives the head.
    pub facts: RequestFacts,
    pub(crate) method: &'b str,
    pub(crate) target: Target<'b>,
    pub(crate) host: Option<&'b [u8]>,
    pub(crate) connection: Connection<'b>,
    pub(crate) fields: Fields<'b, 'h>,
    pub(crate) te_trailers: bool,
}

impl<'b, 'h> RequestHead<'b, 'h> {
    /// Reads one complete head, as [`crate::HeadScanner`] found it.
    pub fn parse(head: &'b [u8], slots: &'h mut FieldSlots<'b>) -> Result<Self, RequestError> {
        let mut parsed = Request::new(&mut []);
        let status = parsed.parse_with_uninit_headers(head, &mut slots.headers);
        let complete = status.map_err(|error| explain(error, head))?;
        if complete != httparse::Status::Complete(head.len()) {
            return Err(RequestError::Malformed("the request head is cut short"));
        }
        let version = Version::of(parsed.version);
        let method_name = parsed.method.unwrap_or_default();
        let method = Method::of(method_name);
        if method_name == "CONNECT" {
            return Err(RequestError::Connect);
        }
        let target = target::parse(parsed.path.unwrap_or_default(), method)?;
        let fields = Fields::classify(parsed.headers, &mut slots.names);
        let host = single_host(fields, version)?;
        let framing = RequestFraming::of(fields, version)?;
        let connection = Connection::of(fields);
        let connection = connection.map_err(|TooMany| RequestError::Malformed(TooMany::REASON))?;
        let keep_alive = connection.persists(version);
        let upgrade = wants_upgrade(fields, &connection, version, framing);
        let te_trailers = fields.values(Name::Te).flat_map(tokens).any(is_trailers);
        let facts = RequestFacts {
            method,
            version,
            framing,
            keep_alive,
            upgrade,
            websocket: upgrade && offers_only(fields, b"websocket"),
            grpc: fields.values(Name::ContentType).any(is_grpc),
            routed: fields.iter().any(|(name, ..)| name == Name::Routing),
        };
        Ok(Self {
            facts,
            method: method_name,
            target,
            host,
            connection,
            fields,
            te_trailers,
        })
    }

    /// The values of `Accept-Encoding`.
    pub fn accepted_codings(&self) -> impl Iterator<Item = &'b [u8]> {
        self.fields.values(Name::AcceptEncoding)
    }

    /// The name that was called, without port and last dot.
    pub fn called_name(&self) -> Option<&'b str> {
        let name = str::from_utf8(host::without_port(self.called_host()?)).ok()?;
        Some(name.strip_suffix('.').unwrap_or(name))
    }

    /// The method as it was sent.
    pub fn method(&self) -> &'b str {
        self.method
    }

    /// The path with its query, or `*`; the `/` that an absolute form may leave out is missing here too.
    pub fn path(&self) -> &'b str {
        self.target.path
    }

    /// The client takes trailers.
    pub fn takes_trailers(&self) -> bool {
        self.te_trailers
    }

    /// Name and value of each field but `Host` that is not about this connection or how the body is
    /// delimited in HTTP/1.1: what the same request has in another version of HTTP.
    pub fn end_to_end(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        let all = end_to_end(self.fields, self.connection);
        all.filter(|(name, _)| !name.eq_ignore_ascii_case("host"))
    }

    /// Whether the client asks to go on in HTTP/2 on this connection (RFC 7540, 3.2), and the request is
    /// such that it may be answered there. Asked in any other way it is as if it were not.
    pub fn asks_for_h2c(&self) -> bool {
        let has = |name, token: &str| {
            let mut all = self.fields.values(name).flat_map(tokens);
            all.any(|one| one.eq_ignore_ascii_case(token.as_bytes()))
        };
        has(Name::Upgrade, "h2c")
            && self.facts.version == Version::Http11
            && self.facts.framing == RequestFraming::None
            && has(Name::Connection, "upgrade")
            && has(Name::Connection, "http2-settings")
            && h2c::has_settings(self.fields)
    }

    /// The host that was called: of the target, else of `Host`.
    pub fn called_host(&self) -> Option<&'b [u8]> {
        self.target.authority.map(str::as_bytes).or(self.host)
    }
}

fn explain(error: httparse::Error, head: &[u8]) -> RequestError {
    match error {
        httparse::Error::Version if is_other_version(head) => RequestError::Version,
        httparse::Error::Version => RequestError::Malformed("an invalid HTTP version"),
        httparse::Error::TooManyHeaders => RequestError::HeadTooLarge,
        httparse::Error::HeaderName => RequestError::Malformed(
            "an invalid field name, white space before a colon, or a folded line",
        ),
        httparse::Error::HeaderValue => RequestError::Malformed("a control byte in a field value"),
        httparse::Error::Token => RequestError::Malformed("an invalid byte in the request line"),
        _ => RequestError::Malformed("an invalid request head"),
    }
}

/// Whether the request line ends in a version that exists, only not here.
fn is_other_version(head: &[u8]) -> bool {
    let line = head
        .split(|byte| *byte == b'\r')
        .find(|line| !line.is_empty());
    let mut words = line.unwrap_or_default().split(|byte| *byte == b' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let (version, more) = (words.next().unwrap_or_default(), words.next());
    let spoken = version == b"HTTP/1.0" || version == b"HTTP/1.1";
    !method.is_empty()
        && !target.is_empty()
        && more.is_none()
        && !spoken
        && matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit())
}

fn single_host<'b>(
    fields: Fields<'b, '_>,
    version: Version,
) -> Result<Option<&'b [u8]>, RequestError> {
    let mut hosts = fields.values(Name::Host);
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(RequestError::Malformed("several Host fields")),
        (None, _) if version == Version::Http11 => Err(RequestError::Malformed("no Host field")),
        (Some(host), _) if !host::is_valid(host) => {
            Err(RequestError::Malformed("an invalid Host field"))
        }
        (host, _) => Ok(host),
    }
}

/// Whether the request offers an upgrade that may be passed on. With a body it would have to be read
/// in one protocol and answered in another, and `h2c` would hide requests from the proxy.
fn wants_upgrade(
    fields: Fields<'_, '_>,
    connection: &Connection<'_>,
    version: Version,
    framing: RequestFraming,
) -> bool {
    let mut offers = fields.values(Name::Upgrade).flat_map(tokens).peekable();
    connection.upgrade
        && version == Version::Http11
        && matches!(framing, RequestFraming::None | RequestFraming::Length(0))
        && offers.peek().is_some()
        && offers.all(|offer| !offer.eq_ignore_ascii_case(b"h2c"))
}

/// Whether `protocol` is all that is offered.
fn offers_only(fields: Fields<'_, '_>, protocol: &[u8]) -> bool {
    let mut offers = fields.values(Name::Upgrade).flat_map(tokens);
    let first = offers.next();
    first.is_some_and(|offer| offer.eq_ignore_ascii_case(protocol)) && offers.next().is_none()
}

/// `application/grpc`, perhaps with a serialization: not gRPC-Web, which carries its status in the body.
pub fn is_grpc(content_type: &[u8]) -> bool {
    let (prefix, rest) = content_type
        .split_at_checked(GRPC.len())
        .unwrap_or_default();
    prefix.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';'))
}

fn is_trailers(token: &[u8]) -> bool {
    token.eq_ignore_ascii_case(b"trailers")
}
