//! What counts as a header, what does not, and that what is written is read again.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::net::SocketAddr;

use proptest::prelude::*;
use roost_proxy_proto::{
    Checksum, Ends, Header, MAX_HEADER, Origin, Ssl, Tlv, Transport, kind, parse, write_v1,
    write_v2,
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn ends(source: &str, destination: &str) -> Ends {
    Ends {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

/// Reads a header that is there whole, with something behind it that is not its own; also byte by byte.
fn read(bytes: &[u8]) -> Result<Header<'_>, String> {
    for cut in 0..bytes.len() {
        if let Err(error) = parse(&bytes[..cut]) {
            return Err(error.0.to_owned());
        }
        assert_eq!(parse(&bytes[..cut]), Ok(None), "cut at {cut}");
    }
    match parse(bytes) {
        Ok(Some((header, size))) if size == bytes.len() => Ok(header),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.0.to_owned()),
    }
}

#[test]
fn lines_that_count() {
    let rows = [
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN what ever \u{e4}\r\n", None),
        (
            "PROXY TCP4 192.0.2.1 198.51.100.2 0 65535\r\n",
            Some(ends("192.0.2.1:0", "198.51.100.2:65535")),
        ),
        (
            "PROXY TCP6 fdaa:0:1:: ::ffff:192.0.2.1 1 443\r\n",
            Some(ends("[fdaa:0:1::]:1", "[::ffff:192.0.2.1]:443")),
        ),
        (
            "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            None,
        ),
    ];
    for (line, expected) in rows {
        let origin = read(line.as_bytes()).expect(line).origin;
        match expected {
            None => assert_eq!(origin, Origin::Unknown, "{line}"),
            Some(ends) => {
                let transport = Transport::Stream;
                assert_eq!(origin, Origin::Inet { transport, ends }, "{line}");
            }
        }
    }
}

#[test]
fn lines_that_do_not_count() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(long.len(), 108);
    let rows = [
        // 2.1: exactly one space between words, upper case, canonical numbers.
        "GET / HTTP/1.1\r\n",
        "proxy UNKNOWN\r\n",
        "PROXY  UNKNOWN\r\n",
        "PROXY unknown\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4\t1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 0x2\r\n",
        "PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY TCP6 :::1 ::1 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 \u{e4}\r\n",
        // 2.1: CR LF ends the line, and nothing else does.
        "PROXY UNKNOWN\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY UNKNOWN\rX",
        "PROXY UNKNOWN x\ny\r\n",
        // 2.1: 107 bytes at most.
        &long,
    ];
    for line in rows {
        read(line.as_bytes()).expect_err(line);
    }
}

#[test]
fn binary_that_counts() {
    let four = [192, 0, 2, 1, 198, 51, 100, 2, 0, 80, 1, 187];
    let ends = ends("192.0.2.1:80", "198.51.100.2:443");
    for (family, transport) in [(0x11, Transport::Stream), (0x12, Transport::Datagram)] {
        let origin = Origin::Inet { transport, ends };
        assert_eq!(read(&v2(0x21, family, &four)).unwrap().origin, origin);
    }
    let unix = v2(0x21, 0x31, &[7; 216]);
    let origin = read(&unix).unwrap().origin;
    assert!(matches!(
        origin,
        Origin::Unix {
            source: [7, ..],
            ..
        }
    ));
    assert_eq!(read(&v2(0x21, 0, &[])).unwrap().origin, Origin::Unknown);
    // 2.2: of LOCAL the whole block is passed over, also one that would not count.
    for (family, block) in [(0, &[][..]), (0x11, &four), (0xff, &[1, 2, 3])] {
        let bytes = v2(0x20, family, block);
        let header = read(&bytes).unwrap();
        assert_eq!(header.origin, Origin::Local);
        assert_eq!(header.tlvs.iter().count(), 0);
    }
}

#[test]
fn binary_that_does_not_count() {
    let with = |tlvs: &[u8]| v2(0x21, 0, tlvs);
    let rows = [
        ("version 1 in binary", v2(0x11, 0, &[])),
        ("version 3", v2(0x31, 0, &[])),
        ("command 2", v2(0x22, 0, &[])),
        ("family 4", v2(0x21, 0x41, &[0; 216])),
        ("transport 3", v2(0x21, 0x13, &[0; 12])),
        ("a family without transport", v2(0x21, 0x10, &[0; 12])),
        ("a transport without family", v2(0x21, 0x01, &[])),
        ("short IPv4", v2(0x21, 0x11, &[0; 11])),
        ("short IPv6", v2(0x21, 0x21, &[0; 35])),
        ("short Unix", v2(0x21, 0x31, &[0; 215])),
        ("half a TLV's head", with(&[4, 0])),
        ("a TLV that goes over the end", with(&[4, 0, 2, 0])),
        (
            "a long unique id",
            with(&[&[5, 0, 129][..], &[0; 129]].concat()),
        ),
        ("short SSL", with(&[0x20, 0, 4, 0, 0, 0, 0])),
        ("cut SSL", with(&[0x20, 0, 7, 1, 0, 0, 0, 0, 0x21, 0])),
        ("a short checksum", with(&[3, 0, 3, 0, 0, 0])),
        (
            "two checksums",
            with(&[3, 0, 4, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0]),
        ),
        ("a wrong checksum", with(&[3, 0, 4, 1, 2, 3, 4])),
        ("too long", v2(0x21, 0, &[0; MAX_HEADER - 15])),
        ("LOCAL that is too long", v2(0x20, 0, &[0; MAX_HEADER - 15])),
        ("another signature", b"\r\n\r\n\0\r\nQUIZ\n".to_vec()),
    ];
    for (name, bytes) in rows {
        read(&bytes).expect_err(name);
    }
}

#[test]
fn what_cannot_become_a_header_is_refused_at_its_first_wrong_byte() {
    for (bytes, wrong) in [
        (&b"PROXZ"[..], 4),
        (b"\r\n\r\n\0\r\nX", 7),
        (b"\x16\x03\x01", 0),
        (b"GET", 0),
        (b"\r\n\r\n\0\r\nQUIT\n\x11", 12),
    ] {
        assert_eq!(parse(&bytes[..wrong]), Ok(None), "{bytes:?}");
        assert!(parse(&bytes[..=wrong]).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_known_header_of_version_2_is_written() {
    // The bytes that HAProxy's own reader gets in its documentation's example of IPv4.
    let origin = Origin::Inet {
        transport: Transport::Stream,
        ends: ends("127.0.0.1:80", "127.0.0.2:443"),
    };
    let mut out = Vec::new();
    write_v2(&origin, [], Checksum::Without, &mut out).unwrap();
    assert_eq!(
        out,
        v2(0x21, 0x11, b"\x7f\0\0\x01\x7f\0\0\x02\0\x50\x01\xbb")
    );
}

#[test]
fn mixed_families_are_written_as_ipv6() {
    let ends = ends("192.0.2.1:1", "[fdaa::1]:2");
    let mut line = Vec::new();
    write_v1(Some(ends), &mut line);
    assert_eq!(line, b"PROXY TCP6 ::ffff:192.0.2.1 fdaa::1 1 2\r\n");
}

#[test]
fn what_is_said_of_tls_has_its_form() {
    let said = Ssl {
        version: "TLSv1.3",
        cipher: Some("X"),
    };
    assert_eq!(said.value(), b"\x01\0\0\0\x01\x21\0\x07TLSv1.3\x23\0\x01X");
    let value = said.value();
    let tlv = Tlv {
        kind: kind::SSL,
        value: &value,
    };
    let mut out = Vec::new();
    write_v2(&Origin::Unknown, [tlv], Checksum::With, &mut out).unwrap();
    assert_eq!(read(&out).unwrap().tlvs.iter().next(), Some(tlv));
}

#[test]
fn what_has_no_room_leaves_nothing_behind() {
    let value = vec![0; 40_000];
    let tlv = Tlv {
        kind: 0xe0,
        value: &value,
    };
    let mut out = b"before".to_vec();
    write_v2(&Origin::Unknown, [tlv, tlv], Checksum::With, &mut out).unwrap_err();
    assert_eq!(out, b"before");
}

fn any_ends() -> impl Strategy<Value = Ends> {
    let same = prop_oneof![
        any::<([u8; 4], [u8; 4])>().prop_map(|(one, other)| (one.into(), other.into())),
        any::<([u16; 8], [u16; 8])>().prop_map(|(one, other)| (one.into(), other.into())),
    ];
    (same, any::<u16>(), any::<u16>()).prop_map(|((from, to), source, destination)| Ends {
        source: SocketAddr::new(from, source),
        destination: SocketAddr::new(to, destination),
    })
}

proptest! {
    #[test]
    fn a_written_line_is_read_again(ends in any_ends()) {
        let mut out = Vec::new();
        write_v1(Some(ends), &mut out);
        let origin = Origin::Inet { transport: Transport::Stream, ends };
        prop_assert_eq!(read(&out).unwrap().origin, origin);
    }

    #[test]
    fn a_written_binary_header_is_read_again(
        ends in proptest::option::of(any_ends()),
        tlvs in proptest::collection::vec((0xe0_u8.., proptest::collection::vec(any::<u8>(), 0..40)), 0..5),
        sum in any::<bool>(),
        flip in any::<(proptest::sample::Index, u8)>(),
    ) {
        let transport = Transport::Stream;
        let origin = ends.map_or(Origin::Unknown, |ends| Origin::Inet { transport, ends });
        let said: Vec<_> = tlvs.iter().map(|(kind, value)| Tlv { kind: *kind, value }).collect();
        let mut out = Vec::new();
        let checksum = if sum { Checksum::With } else { Checksum::Without };
        write_v2(&origin, said.iter().copied(), checksum, &mut out).unwrap();
        let header = read(&out).unwrap();
        prop_assert_eq!(header.origin, origin);
        let heard: Vec<_> = header.tlvs.iter().filter(|one| one.kind != kind::CRC32C).collect();
        prop_assert_eq!(heard, said);
        // With a checksum no other addresses are taken for these.
        if let (true, Some(ends)) = (sum, ends) {
            let at = 16 + flip.0.index(if ends.source.is_ipv4() { 12 } else { 36 });
            out[at] ^= flip.1.max(1);
            prop_assert!(parse(&out).is_err());
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_read_past_its_bound(bytes in proptest::collection::vec(any::<u8>(), 0..64), signed in any::<bool>()) {
        let bytes = if signed { [SIGNATURE, &bytes].concat() } else { bytes };
        if let Ok(Some((_, size))) = parse(&bytes) {
            prop_assert!(size <= bytes.len().min(MAX_HEADER));
        }
    }
}
