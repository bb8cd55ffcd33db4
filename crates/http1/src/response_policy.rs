//! The response head as the client gets it.

use crate::date::DATE_LEN;
use crate::fields::{is_field_name, is_field_value, write_field};
use crate::forwarded::write_decimal;
use crate::framing::{ResponseFraming, Version};
use crate::name::Name;
use crate::response::ResponseHead;

/// One entry of `http_options.response.headers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRule {
    name: String,
    values: Vec<String>,
}

impl FieldRule {
    /// A rule that leaves the field `name` with exactly `values`; none removes it.
    ///
    /// `None` when the name is no field name, a value could end the line, or the field frames the
    /// message and so is not the app's to set.
    pub fn new(name: &str, values: Vec<String>) -> Option<Self> {
        let framing = matches!(
            Name::of(name.as_bytes()),
            Name::Connection
                | Name::ContentLength
                | Name::TransferEncoding
                | Name::Upgrade
                | Name::HopByHop
                | Name::Te
        );
        let valid = is_field_name(name) && values.iter().all(|value| is_field_value(value));
        (valid && !framing).then(|| Self {
            name: name.to_owned(),
            values,
        })
    }
}

/// What a port's `http_options.response` makes of responses.
#[derive(Debug, Clone, Default)]
pub struct ResponsePolicy {
    /// Neither add nor alter `Server`, `Via`, `Fly-Request-Id`.
    pub pristine: bool,
    /// Applied last.
    pub rules: Vec<FieldRule>,
}

/// What the client's side of the connection needs of the head.
#[derive(Debug, Clone, Copy)]
pub struct ClientSide<'a> {
    /// The version the client speaks.
    pub version: Version,
    /// The connection is closed after this response.
    pub close: bool,
    /// The value of `Server`.
    pub server: &'a str,
    /// The value of `Fly-Request-Id`.
    pub request_id: &'a [u8],
    /// The time, for a response that came without one.
    pub date: &'a [u8; DATE_LEN],
    /// The content coding that the body is put into on the way.
    pub coding: Option<&'static str>,
}

impl ResponsePolicy {
    /// Appends the head for the client to `out`. It tells the body's length as the client can read it:
    /// what ends by close goes to an HTTP/1.1 client in chunks, so that it can see a lost end.
    pub fn write_response(
        &self,
        head: &ResponseHead<'_, '_>,
        side: &ClientSide<'_>,
        out: &mut Vec<u8>,
    ) {
        write_status_line(head, out);
        let mut dated = false;
        for (name, sent, value) in head.fields.iter() {
            dated |= name == Name::Date;
            if !self.passes(head, name, sent, value) {
                continue;
            }
            match (side.coding, name) {
                (Some(_), Name::ContentLength | Name::AcceptRanges) => {}
                (Some(_), Name::Etag) => write_weak(sent, value, out),
                _ => write_field(out, sent.as_bytes(), value),
            }
        }
        if head.is_interim() {
            out.extend_from_slice(b"\r\n");
            return;
        }
        write_framing(head, side, out);
        self.write_own(dated, side, out);
        for rule in &self.rules {
            for value in &rule.values {
                write_field(out, rule.name.as_bytes(), value.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    fn write_own(&self, dated: bool, side: &ClientSide<'_>, out: &mut Vec<u8>) {
        if !dated && !self.names("date") {
            write_field(out, b"Date", side.date);
        }
        if self.pristine {
            return;
        }
        for (name, value) in [
            ("Server", side.server.as_bytes()),
            ("Via", side.version.via()),
            ("Fly-Request-Id", side.request_id),
        ] {
            if !self.names(name) {
                write_field(out, name.as_bytes(), value);
            }
        }
    }

    fn passes(&self, head: &ResponseHead<'_, '_>, name: Name, sent: &str, value: &[u8]) -> bool {
        let by_name = match name {
            Name::Connection
            | Name::Disguised
            | Name::FlyReplay
            | Name::HopByHop
            | Name::Te
            | Name::TransferEncoding => false,
            Name::ContentLength => keeps_length(head),
            Name::Upgrade => head.status == 101,
            Name::Server | Name::ProxySet => self.pristine,
            Name::ContentEncoding => self.pristine || !value.eq_ignore_ascii_case(b"none"),
            _ => true,
        };
        by_name && !self.names(sent) && !head.connection.lists(name, sent)
    }

    fn names(&self, name: &str) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.name.eq_ignore_ascii_case(name))
    }
}

/// `Content-Length` goes on where it frames the body, and where it tells of the body a `GET` would get.
const fn keeps_length(head: &ResponseHead<'_, '_>) -> bool {
    match head.framing {
        ResponseFraming::Length(_) => true,
        ResponseFraming::None => !matches!(head.status, 100..=199 | 204),
        ResponseFraming::Chunked | ResponseFraming::UntilClose => false,
    }
}

fn write_status_line(head: &ResponseHead<'_, '_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(u64::from(head.status), out);
    out.push(b' ');
    out.extend_from_slice(head.reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// What identified the bytes of a body identifies only its meaning once they are coded (RFC 9110, 8.8.1).
fn write_weak(name: &str, value: &[u8], out: &mut Vec<u8>) {
    let weak = if value.starts_with(b"W/") {
        value.to_vec()
    } else {
        [b"W/", value].concat()
    };
    write_field(out, name.as_bytes(), &weak);
}

fn write_framing(head: &ResponseHead<'_, '_>, side: &ClientSide<'_>, out: &mut Vec<u8>) {
    if head.status == 101 {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        return;
    }
    let unknown = matches!(
        head.framing,
        ResponseFraming::Chunked | ResponseFraming::UntilClose
    );
    let in_chunks = unknown || side.coding.is_some();
    if let Some(coding) = side.coding {
        write_field(out, b"Content-Encoding", coding.as_bytes());
        write_field(out, b"Vary", b"Accept-Encoding");
    }
    if in_chunks && side.version != Version::Http10 {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    match (side.close, side.version) {
        (true, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (false, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (false, Version::Http11 | Version::Http2) => {}
    }
}
