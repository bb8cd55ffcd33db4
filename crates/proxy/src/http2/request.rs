//! A request's head as it arrived in HTTP/2, in the form of HTTP/1.1 (RFC 9113, 8.3.1).
//!
//! What makes a request malformed in HTTP/2 alone is found by the library and here. Everything else that is
//! checked of a request is checked when this form is parsed, by the same code as for HTTP/1.1.

use h2::ext::Protocol;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

use roost_http1::is_grpc;

use super::inflow::{Form, write_field};
use super::websocket;

/// Why a request is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The stream is reset with `PROTOCOL_ERROR` (RFC 9113, 8.1.1).
    Malformed,
    /// It asks to be connected with something else.
    Connect,
}

/// A request's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) text: Vec<u8>,
    pub(super) form: Form,
    pub(super) method: roost_http1::Method,
    pub(super) grpc: bool,
    /// The key with which a WebSocket is opened.
    pub(super) key: Option<String>,
}

/// Writes a head. `ends` says that no body follows.
pub(super) fn head(parts: &Parts, ends: bool) -> Result<Head, Fault> {
    check_values(&parts.headers)?;
    let key = key_for(parts)?;
    let method = key.as_ref().map_or(parts.method.as_str(), |_| "GET");
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut text = Vec::with_capacity(512);
    for part in [method, " ", path, " HTTP/1.1\r\n"] {
        text.extend_from_slice(part.as_bytes());
    }
    write_host(parts, &mut text)?;
    write_fields(&parts.headers, key.is_some(), &mut text);
    let form = match &key {
        Some(key) => {
            write_upgrade(key, &mut text);
            Form::Plain
        }
        None => write_framing(parts, ends, &mut text),
    };
    text.extend_from_slice(b"\r\n");
    let content_type = parts.headers.get(CONTENT_TYPE);
    Ok(Head {
        text,
        form,
        method: roost_http1::Method::of(method),
        grpc: content_type.is_some_and(|value| is_grpc(value.as_bytes())),
        key,
    })
}

/// RFC 9113, 8.2.1: no white space around a value. In HTTP/1.1 it would not be part of it.
fn check_values(headers: &HeaderMap) -> Result<(), Fault> {
    let padded = |value: &[u8]| value.trim_ascii().len() != value.len();
    let any = headers.values().any(|value| padded(value.as_bytes()));
    if any { Err(Fault::Malformed) } else { Ok(()) }
}

/// The key of a WebSocket that is asked for by extended CONNECT (RFC 8441, 4).
fn key_for(parts: &Parts) -> Result<Option<String>, Fault> {
    if parts.method != Method::CONNECT {
        return Ok(None);
    }
    match parts.extensions.get::<Protocol>() {
        Some(protocol) if protocol.as_str() == websocket::PROTOCOL => {
            websocket::new_key().map(Some).map_err(|_| Fault::Connect)
        }
        _ => Err(Fault::Connect),
    }
}

/// `:authority` takes the place of `Host`; both may only be there when they say the same.
fn write_host(parts: &Parts, text: &mut Vec<u8>) -> Result<(), Fault> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let (host, second) = (hosts.next(), hosts.next());
    let named = match (authority, host) {
        (Some(authority), Some(host))
            if !authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()) =>
        {
            return Err(Fault::Malformed);
        }
        (Some(authority), _) => authority.as_bytes(),
        (None, Some(host)) => host.as_bytes(),
        (None, None) => return Err(Fault::Malformed),
    };
    if second.is_some() {
        return Err(Fault::Malformed);
    }
    write_field(text, "host", named);
    Ok(())
}

fn write_fields(headers: &HeaderMap, opens: bool, text: &mut Vec<u8>) {
    for (name, value) in headers {
        let replaced = opens && (name == websocket::KEY || name == CONTENT_LENGTH);
        if name != HOST && name != COOKIE && !replaced {
            write_field(text, name.as_str(), value.as_bytes());
        }
    }
    // RFC 9113, 8.2.3: cookies may come in pieces.
    let cookies = headers.get_all(COOKIE);
    let cookies: Vec<_> = cookies.iter().map(HeaderValue::as_bytes).collect();
    if !cookies.is_empty() {
        write_field(text, "cookie", &cookies.join(&b"; "[..]));
    }
}

fn write_upgrade(key: &str, text: &mut Vec<u8>) {
    write_field(text, "connection", b"upgrade");
    write_field(text, "upgrade", websocket::PROTOCOL.as_bytes());
    write_field(text, websocket::KEY, key.as_bytes());
}

fn write_framing(parts: &Parts, ends: bool, text: &mut Vec<u8>) -> Form {
    if parts.headers.contains_key(CONTENT_LENGTH) {
        return Form::Plain;
    }
    if !ends {
        write_field(text, "transfer-encoding", b"chunked");
        return Form::Chunks;
    }
    // RFC 9110, 8.6: where a body is expected its absence is told.
    let expected = [Method::POST, Method::PUT, Method::PATCH];
    if expected.contains(&parts.method) {
        write_field(text, "content-length", b"0");
    }
    Form::Plain
}
