//! Beginnings of sessions, cut up, broken, and random bytes.

#![allow(missing_docs)]
// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;
use roost_pg_startup::{
    FirstReply, MAX_PACKET, Opening, first_reply, opening, packet_length, refusal,
};

fn packet(code: u32, rest: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + rest.len()).unwrap();
    [&length.to_be_bytes(), &code.to_be_bytes(), rest].concat()
}

fn openings() -> [(Vec<u8>, Opening); 6] {
    [
        (packet(80_877_103, b""), Opening::Ssl),
        (packet(80_877_104, b""), Opening::GssEnc),
        (packet(80_877_102, &[1; 8]), Opening::Cancel),
        (packet(80_877_102, &[1; 260]), Opening::Cancel),
        (packet(3 << 16, b"user\0a\0\0"), Opening::Startup),
        (vec![0x16, 3, 1], Opening::Tls),
    ]
}

/// Each beginning is told apart, and not before enough of it is there.
#[test]
fn tells_beginnings_apart() {
    for (bytes, wanted) in openings() {
        assert_eq!(opening(&bytes), Ok(Some(wanted)));
        let enough = match wanted {
            Opening::Tls => 1,
            Opening::Startup => 8,
            _ => bytes.len(),
        };
        for cut in 0..enough {
            assert_eq!(opening(&bytes[..cut]), Ok(None), "{wanted:?} {cut}");
        }
    }
}

/// Bytes sent before the answer could be somebody else's, and are refused (CVE-2021-23222).
#[test]
fn nothing_may_follow_a_question() {
    for (mut bytes, wanted) in openings() {
        bytes.push(0x16);
        let may = matches!(wanted, Opening::Startup | Opening::Tls);
        assert_eq!(opening(&bytes).is_ok(), may, "{wanted:?}");
    }
}

/// Wrong lengths, other versions and other protocols are refused as soon as they show.
#[test]
fn refuses_what_is_no_beginning() {
    let long = u32::try_from(MAX_PACKET).unwrap() + 1;
    for bytes in [
        b"GE".to_vec(),
        vec![0, 1],
        packet(80_877_103, b"x"),
        packet(80_877_104, b"x")[..8].to_vec(),
        packet(80_877_102, &[1; 7]),
        packet(80_877_102, &[1; 261]),
        packet(2 << 16, b"\0"),
        vec![0, 0, 0, 7],
        long.to_be_bytes().to_vec(),
    ] {
        assert!(opening(&bytes).is_err(), "{bytes:?}");
    }
}

/// The refusal has the length that it says, each field once, and ends.
#[test]
fn a_refusal_is_a_message() {
    let bytes = refusal("no\0pe", "do");
    let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
    assert_eq!((bytes[0], length), (b'E', bytes.len() - 1));
    assert_eq!(&bytes[5..], b"SFATAL\0VFATAL\0C28000\0Mnope\0Hdo\0\0");
}

proptest! {
    /// No bytes make it panic, and more of them never change what was said.
    #[test]
    fn more_bytes_do_not_change_what_was_said(bytes in bytes(), cut in 0_usize..300) {
        let before = opening(&bytes[..cut.min(bytes.len())]);
        let after = opening(&bytes);
        match before {
            Ok(None) => {}
            Ok(Some(Opening::Startup | Opening::Tls)) | Err(_) => prop_assert_eq!(before, after),
            Ok(Some(asked)) => prop_assert!(after == Ok(Some(asked)) || after.is_err()),
        }
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let random = prop::collection::vec(any::<u8>(), 0..300);
    let codes = prop_oneof![80_877_101_u32..80_877_106, 190_000_u32..200_000];
    let near = (
        0_u32..300,
        codes,
        prop::collection::vec(any::<u8>(), 0..290),
    )
        .prop_map(|(length, code, rest)| {
            [&length.to_be_bytes(), &code.to_be_bytes(), &rest[..]].concat()
        });
    prop_oneof![random, near]
}

fn error(fields: &[u8]) -> Vec<u8> {
    let length = u32::try_from(4 + fields.len()).unwrap();
    [b"E", &length.to_be_bytes()[..], fields].concat()
}

/// Only an error with the code of a server that takes no sessions yet is one, once all of it is there.
#[test]
fn a_server_that_starts_up_says_so() {
    let starting = error(b"SFATAL\0C57P03\0Mstarting up\0\0");
    assert_eq!(first_reply(&starting), Some(FirstReply::StartingUp));
    for cut in 0..starting.len() {
        assert_eq!(first_reply(&starting[..cut]), None, "{cut}");
    }
    for other in [
        error(b"SFATAL\0C57P01\0M57P03\0\0"),
        error(b"C57P033\0\0"),
        error(b"\0C57P03"),
        error(b""),
        b"R\0\0\0\x08".to_vec(),
        b"E\0\0\0\0".to_vec(),
        b"E\xff\xff\xff\xff".to_vec(),
    ] {
        assert_eq!(first_reply(&other), Some(FirstReply::Other), "{other:?}");
    }
    assert_eq!(packet_length(&packet(3 << 16, b"user\0a\0\0")), Some(16));
}
