//! Requests that two readers could delimit in two ways are refused, each with the right status.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use roost_http1::{
    FieldSlots, HeadScanner, RequestError, RequestFacts, RequestFraming, RequestHead,
};

/// What becomes of the request that `bytes` begin with; `None` asks for more bytes.
fn read(bytes: &[u8]) -> Result<Option<RequestFacts>, RequestError> {
    let Some(span) = HeadScanner::default().scan_request(bytes)? else {
        return Ok(None);
    };
    let mut slots = FieldSlots::new();
    Ok(Some(
        RequestHead::parse(&bytes[span.start..span.end], &mut slots)?.facts,
    ))
}

fn status(bytes: &[u8]) -> Option<u16> {
    read(bytes).err().map(RequestError::status)
}

/// A request with `fields`, each ended by CRLF.
fn post(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

/// Codings that end in `chunked` have a clear end and no reader here (RFC 9112, 6.1).
#[test]
fn a_coding_that_is_not_understood_gets_501() {
    for (value, expected) in [
        ("gzip, chunked", 501),
        ("gzip,deflate , CHUNKED", 501),
        ("chunked, gzip", 400),
        ("gzip, chunked, chunked", 400),
        ("gzip;q=1, chunked", 400),
        (", chunked", 400),
    ] {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {value}\r\n\r\n");
        assert_eq!(status(head.as_bytes()), Some(expected), "{value}");
    }
}

#[test]
fn fields_that_frame_twice_or_not_clearly_get_400() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5,6\r\n",
        "Content-Length: \r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 5\t\x0b\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
    ] {
        assert_eq!(status(post(fields).as_bytes()), Some(400), "{fields:?}");
    }
}

#[test]
fn lines_that_are_not_fields_get_400() {
    for fields in [
        "Content-Length : 5\r\n",
        "Content-Length\t: 5\r\n",
        "Transfer-Encoding : chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "\tTransfer-Encoding: chunked\r\n",
        "A: b\r\n Transfer-Encoding: chunked\r\n",
        "A: b\r\n\tc\r\n",
        "A: b\nTransfer-Encoding: chunked\r\n",
        "A: b\rTransfer-Encoding: chunked\r\n",
        "A: b\r\r\n",
        "A: b\n",
        "A: b\0c\r\n",
        "A: b\x01\r\n",
        "A: b\x7f\r\n",
        "A\0: b\r\n",
        "A b: c\r\n",
        "A(b): c\r\n",
        ": c\r\n",
        "no-colon\r\n",
        "\u{e4}: c\r\n",
    ] {
        assert_eq!(status(post(fields).as_bytes()), Some(400), "{fields:?}");
    }
}

#[test]
fn hosts_are_one_and_valid() {
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\n\r\n",
        "GET http://u:p@b/ HTTP/1.1\r\nHost: b\r\n\r\n",
    ] {
        assert_eq!(status(head.as_bytes()), Some(400), "{head:?}");
    }
}

#[test]
fn request_lines_have_one_form() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / x HTTP/1.1",
        "GET /",
        "GET / HTTP/1",
        "GET / HTTP/1.1x",
        "GET / HTP/1.1",
        "GET / http/1.1",
        "G{T / HTTP/1.1",
        "GET a HTTP/1.1",
        "GET * HTTP/1.1",
        "GET a:80 HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /\u{e4} HTTP/1.1",
    ] {
        let head = format!("{line}\r\nHost: a\r\n\r\n");
        assert_eq!(status(head.as_bytes()), Some(400), "{line:?}");
    }
}

#[test]
fn other_refusals_have_their_own_status() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(17_000));
    let large = post(&format!("A: {}\r\n", "x".repeat(66_000)));
    let many = post(&"A: b\r\n".repeat(128));
    for (head, expected) in [
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
        (
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (&long, 414),
        (&large, 431),
        (&many, 431),
    ] {
        let shown = &head[..head.len().min(60)];
        assert_eq!(status(head.as_bytes()), Some(expected), "{shown:?}");
    }
}

#[test]
fn valid_requests_are_framed_as_they_say() {
    for (head, framing) in [
        (post(""), RequestFraming::None),
        (post("Content-Length: 0\r\n"), RequestFraming::Length(0)),
        (post("content-LENGTH:5 \r\n"), RequestFraming::Length(5)),
        (
            post("Transfer-Encoding: chunked\r\n"),
            RequestFraming::Chunked,
        ),
        (
            post("transfer-encoding:\tCHUNKED \r\n"),
            RequestFraming::Chunked,
        ),
        (post("A:\r\nB: \u{e4}\tc\r\n"), RequestFraming::None),
        (format!("\r\n{}", post("")), RequestFraming::None),
    ] {
        let facts = read(head.as_bytes()).unwrap().unwrap();
        assert_eq!(facts.framing, framing, "{head:?}");
    }
}

#[test]
fn every_cut_of_a_request_gives_the_same_answer() {
    for head in [
        post("Transfer-Encoding: chunked\r\n"),
        post("Content-Length: 5\r\nContent-Length: 5\r\n"),
        post("A: b\rc\r\n"),
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
    ] {
        let bytes = head.as_bytes();
        let mut scanner = HeadScanner::default();
        let mut cut = Ok(None);
        for end in 0..=bytes.len() {
            cut = match scanner.scan_request(&bytes[..end]) {
                Ok(Some(_)) => read(bytes),
                other => other.map(|_| None),
            };
            if cut != Ok(None) {
                break;
            }
        }
        assert_eq!(cut, read(bytes), "{head:?}");
    }
}
