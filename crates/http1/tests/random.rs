//! Random bytes never panic, and how bytes are cut never matters.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use roost_http1::{
    ChunkedScanner, FieldSlots, ForwardedFields, HeadScanner, Method, Origin, RequestHead,
    ResponseHead, write_chunk, write_trailers,
};

/// Bytes that look like HTTP often enough to come far.
fn http_like() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&[u8]; 16] = [
        b"GET / HTTP/1.1\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"Host: a\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 3\r\n",
        b"Connection: upgrade, x\r\n",
        b"Upgrade: websocket\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b": ",
        b"3\r\nabc\r\n",
        b"0\r\n",
        b"\0",
        b"\xff",
    ];
    let piece = prop::sample::select(pieces.as_slice().to_vec());
    let noise = prop::collection::vec(any::<u8>(), 0..6);
    let part = prop_oneof![4 => piece.prop_map(<[u8]>::to_vec), 1 => noise];
    prop::collection::vec(part, 0..14).prop_map(|parts| parts.concat())
}

fn forwarded() -> ForwardedFields {
    let ip = std::net::IpAddr::from([10, 0, 0, 1]);
    ForwardedFields::new(Origin {
        client: ip,
        called: ip,
        port: 80,
        region: "r",
        tls: true,
    })
}

proptest! {
    /// What is accepted is written in a form that is accepted again, with the same framing.
    #[test]
    fn an_accepted_request_is_accepted_again(bytes in http_like()) {
        let Ok(Some(span)) = HeadScanner::default().scan_request(&bytes) else { return Ok(()) };
        let mut slots = FieldSlots::new();
        let Ok(head) = RequestHead::parse(&bytes[span.start..span.end], &mut slots) else { return Ok(()) };
        let mut out = Vec::new();
        forwarded().write_request(&head, &mut out);
        let again = HeadScanner::default().scan_request(&out).unwrap().unwrap();
        prop_assert_eq!((again.start, again.end), (0, out.len()));
        let mut slots = FieldSlots::new();
        let second = RequestHead::parse(&out, &mut slots).unwrap();
        prop_assert_eq!(second.facts.framing, head.facts.framing);
        prop_assert_eq!(second.facts.upgrade, head.facts.upgrade);
    }

    /// No response head panics.
    #[test]
    fn a_response_is_read_or_refused(bytes in http_like()) {
        if let Ok(Some(span)) = HeadScanner::default().scan_response(&bytes) {
            let mut slots = FieldSlots::new();
            let _ = ResponseHead::parse(&bytes[..span.end], &mut slots, Method::Get);
        }
    }

    /// A head found in pieces is the head found at once.
    #[test]
    fn heads_are_found_alike_in_pieces(bytes in http_like(), cut in any::<prop::sample::Index>()) {
        let whole = HeadScanner::default().scan_request(&bytes);
        let mut scanner = HeadScanner::default();
        let pieces = match scanner.scan_request(&bytes[..cut.index(bytes.len() + 1)]) {
            Ok(None) => scanner.scan_request(&bytes),
            early => early,
        };
        prop_assert_eq!(pieces, whole);
    }

    /// Chunks in pieces give the data, the length and the verdict of chunks at once.
    #[test]
    fn chunks_are_read_alike_in_pieces(bytes in http_like(), step in 1_usize..9) {
        let mut whole_data = Vec::new();
        let mut whole = ChunkedScanner::default();
        let expected = whole.scan(&bytes, Some(&mut whole_data));
        let (mut data, mut consumed, mut scanner) = (Vec::new(), 0, ChunkedScanner::default());
        let mut verdict = Ok(false);
        for piece in bytes.chunks(step) {
            match scanner.scan(piece, Some(&mut data)) {
                Ok(progress) => {
                    consumed += progress.consumed;
                    verdict = Ok(progress.done);
                    if progress.done { break }
                }
                Err(error) => { verdict = Err(error); break }
            }
        }
        prop_assert_eq!(verdict, expected.map(|progress| progress.done));
        if let Ok(progress) = expected {
            prop_assert_eq!(consumed, progress.consumed);
            prop_assert_eq!(data, whole_data);
            prop_assert_eq!(scanner.trailers(), whole.trailers());
        }
    }

    /// Any data survives being put into chunks.
    #[test]
    fn chunks_that_are_written_can_be_read(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..8)) {
        let mut wire = Vec::new();
        for part in &parts { write_chunk(part, &mut wire) }
        wire.extend_from_slice(b"0\r\n");
        write_trailers(b"\r\n", &mut wire).unwrap();
        let mut data = Vec::new();
        let progress = ChunkedScanner::default().scan(&wire, Some(&mut data)).unwrap();
        prop_assert_eq!((progress.consumed, progress.done), (wire.len(), true));
        prop_assert_eq!(data, parts.concat());
    }
}
