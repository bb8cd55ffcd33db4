//! A response of the proxy itself: an error, or a redirect.

use std::borrow::Cow;

use crate::date::DATE_LEN;
use crate::fields::write_field;
use crate::forwarded::write_decimal;
use crate::framing::Version;
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
    /// The version the client speaks.
    pub version: Version,
    /// The client looks for errors in `grpc-status`.
    pub grpc: bool,
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
        let grpc = self.grpc && self.location.is_none();
        let status = if grpc { 200 } else { self.status };
        out.extend_from_slice(b"HTTP/1.1 ");
        write_decimal(u64::from(status), out);
        out.push(b' ');
        out.extend_from_slice(reason(status).as_bytes());
        out.extend_from_slice(b"\r\n");
        if let Some(location) = self.location {
            write_field(out, b"Location", location);
        }
        if let Some(code) = self.code {
            write_field(out, b"Fly-Error", code.as_bytes());
        }
        if grpc {
            self.write_grpc(out);
        } else {
            self.write_text(out);
        }
        match (self.close, self.version) {
            (true, _) => out.extend_from_slice(b"Connection: close\r\n"),
            (false, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            (false, Version::Http11 | Version::Http2) => {}
        }
        write_field(out, b"Date", self.date);
        write_field(out, b"Server", self.server.as_bytes());
        write_field(out, b"Via", self.version.via());
        write_field(out, b"Fly-Request-Id", self.request_id);
        out.extend_from_slice(b"\r\n");
        if method != Method::Head && !grpc {
            out.extend_from_slice(self.line.as_bytes());
            out.push(b'\n');
        }
    }
}

impl Reply<'_> {
    fn write_text(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: ");
        write_decimal(self.line.len() as u64 + 1, out);
        out.extend_from_slice(b"\r\n");
    }

    /// A call that ends without a message: what would be its trailers is in the head.
    fn write_grpc(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"Content-Type: application/grpc\r\nContent-Length: 0\r\nGrpc-Status: ",
        );
        write_decimal(u64::from(grpc_status(self.status)), out);
        out.extend_from_slice(b"\r\nGrpc-Message: ");
        for byte in self.line.bytes() {
            match byte {
                b' '..=b'~' if byte != b'%' => out.push(byte),
                _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// What gRPC's clients make of an HTTP status where there is no other.
const fn grpc_status(status: u16) -> u8 {
    const UNKNOWN: u8 = 2;
    const UNIMPLEMENTED: u8 = 12;
    const INTERNAL: u8 = 13;
    const UNAVAILABLE: u8 = 14;
    match status {
        400 | 431 => INTERNAL,
        404 => UNIMPLEMENTED,
        502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
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
