//! A request head, read strictly.

use httparse::Request;

use crate::connection::{Connection, tokens};
use crate::error::RequestError;
use crate::fields::{FieldSlots, Fields};
use crate::framing::{RequestFraming, Version};
use crate::host;
use crate::method::Method;
use crate::name::Name;
use crate::target::{self, Target};

/// What the proxy has to remember of a request once its head is written.
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
}

/// A valid request head. It borrows the bytes it was read from.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'b, 'h> {
    /// What outlives the head.
    pub facts: RequestFacts,
    pub(crate) method: &'b str,
    pub(crate) target: Target<'b>,
    pub(crate) host: Option<&'b [u8]>,
    pub(crate) connection: Connection,
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
        let keep_alive = connection.persists(version);
        let upgrade = wants_upgrade(fields, connection, version, framing);
        let te_trailers = fields.values(Name::Te).flat_map(tokens).any(is_trailers);
        let facts = RequestFacts {
            method,
            version,
            framing,
            keep_alive,
            upgrade,
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

    /// The name that was called, without port and last dot.
    pub fn called_name(&self) -> Option<&'b str> {
        let name = str::from_utf8(host::without_port(self.called_host()?)).ok()?;
        Some(name.strip_suffix('.').unwrap_or(name))
    }

    /// The host that was called: of the target, else of `Host`.
    pub(crate) fn called_host(&self) -> Option<&'b [u8]> {
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
    connection: Connection,
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

fn is_trailers(token: &[u8]) -> bool {
    token.eq_ignore_ascii_case(b"trailers")
}
