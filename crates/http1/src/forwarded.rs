//! The request head as the Machine gets it.

use std::net::IpAddr;

use crate::fields::write_field;
use crate::framing::{RequestFraming, Version};
use crate::name::Name;
use crate::request::RequestHead;

/// Where a client's connection came from and went to.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// The app's own address that the client called.
    pub called: IpAddr,
    /// The port that the client called.
    pub port: u16,
    /// The region of the proxy that accepted.
    pub region: &'a str,
    /// The client speaks TLS.
    pub tls: bool,
}

/// The fields a Machine learns about its caller, made once for each client connection.
#[derive(Debug)]
pub struct ForwardedFields {
    /// Complete lines that are the same for every request of the connection.
    constant: Vec<u8>,
    /// What is appended to `X-Forwarded-For`.
    hops: Vec<u8>,
    port_line: Vec<u8>,
    /// The called address as a host.
    host: Vec<u8>,
}

impl ForwardedFields {
    /// Prepares the fields for `origin`.
    pub fn new(origin: Origin<'_>) -> Self {
        let Origin {
            client,
            called,
            port,
            region,
            tls,
        } = origin;
        let (proto, ssl) = if tls {
            ("https", "on")
        } else {
            ("http", "off")
        };
        let constant = format!(
            "Fly-Client-IP: {client}\r\nFly-Forwarded-Port: {port}\r\nFly-Region: {region}\r\n\
             X-Forwarded-Proto: {proto}\r\nX-Forwarded-SSL: {ssl}\r\n"
        );
        Self {
            constant: constant.into_bytes(),
            hops: format!("{client}, {called}\r\n").into_bytes(),
            port_line: format!("X-Forwarded-Port: {port}\r\n").into_bytes(),
            host: match called {
                IpAddr::V4(called) => called.to_string().into_bytes(),
                IpAddr::V6(called) => format!("[{called}]").into_bytes(),
            },
        }
    }

    /// Appends the head for the Machine to `out`. See also [`add_to_head`].
    pub fn write_request(&self, head: &RequestHead<'_, '_>, out: &mut Vec<u8>) {
        write_request_line(head, out);
        // An HTTP/1.0 client may leave Host out; the Machine is spoken to in HTTP/1.1, which may not.
        write_field(out, b"Host", head.called_host().unwrap_or(&self.host));
        for (name, sent, value) in head.fields.iter() {
            if passes(head, name) && !head.connection.lists(name, sent) {
                write_field(out, sent.as_bytes(), value);
            }
        }
        write_framing(head.facts.framing, out);
        write_connection(head, out);
        self.write_origin(head, out);
        out.extend_from_slice(b"\r\n");
    }

    fn write_origin(&self, head: &RequestHead<'_, '_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"X-Forwarded-For: ");
        for value in head
            .fields
            .values(Name::XForwardedFor)
            .filter(|value| !value.is_empty())
        {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(&self.hops);
        if head.fields.values(Name::XForwardedPort).next().is_none() {
            out.extend_from_slice(&self.port_line);
        }
        out.extend_from_slice(&self.constant);
        out.extend_from_slice(match head.facts.version {
            Version::Http2 => b"Via: 2 fly.io\r\n",
            Version::Http11 => b"Via: 1.1 fly.io\r\n",
            Version::Http10 => b"Via: 1.0 fly.io\r\n",
        });
    }
}

fn write_request_line(head: &RequestHead<'_, '_>, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method.as_bytes());
    out.push(b' ');
    if head.target.needs_slash {
        out.push(b'/');
    }
    out.extend_from_slice(head.target.path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

fn passes(head: &RequestHead<'_, '_>, name: Name) -> bool {
    match name {
        Name::Other
        | Name::AcceptEncoding
        | Name::AcceptRanges
        | Name::CacheControl
        | Name::ContentEncoding
        | Name::ContentRange
        | Name::ContentType
        | Name::Date
        | Name::Etag
        | Name::FlyReplay
        | Name::Routing
        | Name::Server
        | Name::XForwardedPort => true,
        // A client of HTTP/1.0 cannot read an interim response.
        Name::Expect => head.facts.version != Version::Http10,
        Name::Upgrade => head.facts.upgrade,
        Name::Connection
        | Name::ContentLength
        | Name::Disguised
        | Name::HopByHop
        | Name::Host
        | Name::ProxySet
        | Name::Te
        | Name::TransferEncoding
        | Name::XForwardedFor => false,
    }
}

fn write_framing(framing: RequestFraming, out: &mut Vec<u8>) {
    match framing {
        RequestFraming::None => {}
        RequestFraming::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write_decimal(length, out);
            out.extend_from_slice(b"\r\n");
        }
        RequestFraming::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}

fn write_connection(head: &RequestHead<'_, '_>, out: &mut Vec<u8>) {
    match (head.facts.upgrade, head.te_trailers) {
        (true, _) => out.extend_from_slice(b"Connection: Upgrade\r\n"),
        (false, true) => out.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n"),
        (false, false) => {}
    }
}

/// Tells the Machine that no other request follows on the connection.
pub const ASK_TO_CLOSE: &[u8] = b"Connection: close\r\n";

/// Puts complete `lines` into a head. The first `head` bytes of `request` are a finished one, and a body may
/// be behind it; gives how long the head is then.
#[must_use]
pub fn add_to_head(request: &mut Vec<u8>, head: usize, lines: &[u8]) -> usize {
    let at = head.saturating_sub(2);
    if request.get(at..head) != Some(b"\r\n") {
        return head;
    }
    request.extend_from_slice(lines);
    if let Some(rest) = request.get_mut(at..) {
        rest.rotate_right(lines.len());
    }
    head + lines.len()
}

/// Takes lines out of a head again: those that [`add_to_head`] put into the one that was `base` bytes long.
/// Gives how long the head is then.
#[must_use]
pub fn take_from_head(request: &mut Vec<u8>, base: usize, head: usize) -> usize {
    let (from, to) = (base.saturating_sub(2), head.saturating_sub(2));
    if from <= to && to <= request.len() {
        request.drain(from..to);
        return base;
    }
    head
}

/// Appends `number` in decimal.
pub(crate) fn write_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}
