//! A response of the proxy itself: an error, or a redirect.

use std::borrow::Cow;

use crate::date::DATE_LEN;
use crate::fields::write_field;
use crate::forwarded::write_decimal;
use crate::method::Method;

/// A small complete response with a one-line text body.
#[derive(Debug, Clone)]
pub struct Reply<'a> {
    /// The status.
    pub status: u16,
    /// The value of `Fly-Error`: the code that names the step that failed.
    pub code: Option<&'a str>,
    /// The value of `Location`.
    pub location: Option<&'a [u8]>,
    /// The body's line, without its end.
    pub line: Cow<'a, str>,
    /// The connection is closed afterwards.
    pub close: bool,
    /// The client speaks HTTP/1.0, and must be told when the connection stays open.
    pub http10: bool,
    /// The value of `Server`.
    pub server: &'a str,
    /// The value of `Fly-Request-Id`.
    pub request_id: &'a [u8],
    /// The time.
    pub date: &'a [u8; DATE_LEN],
}

impl Reply<'_> {
    /// Appends the whole response to `out`, without its body when it answers a `HEAD`.
    pub fn write(&self, method: Method, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        write_decimal(u64::from(self.status), out);
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        out.extend_from_slice(b"\r\n");
        if let Some(location) = self.location {
            write_field(out, b"Location", location);
        }
        if let Some(code) = self.code {
            write_field(out, b"Fly-Error", code.as_bytes());
        }
        out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: ");
        write_decimal(self.line.len() as u64 + 1, out);
        out.extend_from_slice(b"\r\n");
        match (self.close, self.http10) {
            (true, _) => out.extend_from_slice(b"Connection: close\r\n"),
            (false, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            (false, false) => {}
        }
        write_field(out, b"Date", self.date);
        write_field(out, b"Server", self.server.as_bytes());
        write_field(out, b"Via", b"1.1 fly.io");
        write_field(out, b"Fly-Request-Id", self.request_id);
        out.extend_from_slice(b"\r\n");
        if method != Method::Head {
            out.extend_from_slice(self.line.as_bytes());
            out.push(b'\n');
        }
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        301 => "Moved Permanently",
        400 => "Bad Request",
        404 => "Not Found",
        408 => "Request Timeout",
        414 => "URI Too Long",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}
