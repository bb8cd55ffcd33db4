//! Hellos built by hand, cut up, broken, and random bytes.

#![allow(missing_docs)]
// A test says what is wrong by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use proptest::prelude::*;
use roost_tls_peek::{ClientHello, HANDSHAKE, HelloError, MAX_HELLO, client_hello};

fn vector(count: usize, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_be_bytes();
    [&length[8 - count..], bytes].concat()
}

fn extension(kind: u8, data: &[u8]) -> Vec<u8> {
    [&[0, kind], &vector(2, data)[..]].concat()
}

fn sni(names: &[(u8, &str)]) -> Vec<u8> {
    let names = names.iter();
    let list: Vec<u8> = names
        .flat_map(|(kind, name)| [&[*kind], &vector(2, name.as_bytes())[..]].concat())
        .collect();
    extension(0, &vector(2, &list))
}

/// A handshake message with these extensions, or with none at all.
fn message(extensions: Option<&[u8]>) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend(vector(1, &[9; 32]));
    body.extend(vector(2, &[0x13, 1, 0x13, 2]));
    body.extend(vector(1, &[0]));
    if let Some(extensions) = extensions {
        body.extend(vector(2, extensions));
    }
    [&[1], &vector(3, &body)[..]].concat()
}

/// The message in records of at most `size` bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let fragments = message.chunks(size);
    fragments
        .flat_map(|fragment| [&[HANDSHAKE, 3, 1], &vector(2, fragment)[..]].concat())
        .collect()
}

type Peeked = Result<Option<ClientHello>, HelloError>;

fn read_with(extensions: &[u8]) -> Peeked {
    client_hello(&records(&message(Some(extensions)), MAX_HELLO))
}

fn named(name: Option<&str>) -> ClientHello {
    ClientHello {
        server_name: name.map(str::to_owned),
    }
}

fn usual() -> Vec<u8> {
    let others = [extension(43, &[2, 3, 4]), sni(&[(0, "My-App.Example.")])];
    message(Some(&[others.concat(), extension(16, &[1; 300])].concat()))
}

const FOUND: Option<&str> = Some("my-app.example");

/// The name is found in lower case and without its last dot, whatever the size of the records.
#[test]
fn finds_the_name_in_any_fragments() {
    for size in [1, 2, 3, 4, 5, 60, 16_384] {
        assert_eq!(
            client_hello(&records(&usual(), size)),
            Ok(Some(named(FOUND))),
            "{size}"
        );
    }
}

/// What follows the hello is not looked at.
#[test]
fn leaves_the_rest_alone() {
    let hello = records(&usual(), 100);
    assert_eq!(
        client_hello(&[&hello[..], b"GET /"].concat()),
        Ok(Some(named(FOUND)))
    );
}

/// Every beginning of a hello asks for more, and none of them is an error.
#[test]
fn asks_for_more() {
    for size in [1, 7, 16_384] {
        let hello = records(&usual(), size);
        for end in 0..hello.len() {
            assert_eq!(client_hello(&hello[..end]), Ok(None), "{size} {end}");
        }
    }
}

/// A client may send no name, and no extensions.
#[test]
fn knows_hellos_without_a_name() {
    let without = extension(43, &[2, 3, 4]);
    assert_eq!(read_with(&without), Ok(Some(named(None))));
    assert_eq!(read_with(&[]), Ok(Some(named(None))));
    let bare = records(&message(None), 9);
    assert_eq!(client_hello(&bare), Ok(Some(named(None))));
}

/// Two names, in one extension or in two, are an error: readers would differ in which one counts.
#[test]
fn refuses_several_names() {
    let twice = [sni(&[(0, "a")]), sni(&[(0, "a")])].concat();
    assert!(read_with(&twice).is_err());
    assert!(read_with(&sni(&[(0, "a"), (0, "b")])).is_err());
}

/// Names of other types, empty or odd ones, and lists of a wrong length are errors.
#[test]
fn refuses_bad_names() {
    let long = "a".repeat(256);
    for name in ["", ".", "a b", "a\0", "a/b", "a:80", "\u{e4}", &long] {
        assert!(read_with(&sni(&[(0, name)])).is_err(), "{name:?}");
    }
    assert!(read_with(&sni(&[(1, "a")])).is_err());
    assert!(read_with(&sni(&[])).is_err());
    for data in [&[][..], &[0, 9, 0, 0, 1, b'a'], &[0, 4, 0, 0, 1, b'a', 9]] {
        assert!(read_with(&extension(0, data)).is_err(), "{data:?}");
    }
}

/// What is no handshake record, no `ClientHello` or of an impossible length is refused at its first
/// wrong byte.
#[test]
fn refuses_what_is_no_hello() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        &[0x15],
        &[HANDSHAKE, 2],
        &[HANDSHAKE, 3, 1, 0, 0],
        &[HANDSHAKE, 3, 1, 0x40, 1],
        &[HANDSHAKE, 3, 1, 0, 5, 2],
        &[HANDSHAKE, 3, 1, 0, 5, 1, 0, 0x40, 0],
        &[HANDSHAKE, 3, 1, 0, 1, 1, 0x17],
    ] {
        assert!(client_hello(bytes).is_err(), "{bytes:?}");
    }
}

/// A hello that does not end within the bound is refused there and not before.
#[test]
fn bounds_the_hello() {
    let padding = extension(21, &[0; MAX_HELLO - 400]);
    let hello = records(&message(Some(&padding)), 4);
    assert!(hello.len() > MAX_HELLO);
    assert_eq!(client_hello(&hello[..MAX_HELLO - 1]), Ok(None));
    assert!(client_hello(&hello[..MAX_HELLO]).is_err());
    assert!(client_hello(&hello).is_err());
    assert_eq!(
        client_hello(&records(&message(Some(&padding)), MAX_HELLO)),
        Ok(Some(named(None)))
    );
}

/// Lengths within the hello that do not fit are errors and never read past its end.
#[test]
fn refuses_wrong_lengths() {
    let whole = message(Some(&sni(&[(0, "a")])));
    for at in [38, 71, 77, 79, 80, 83, 84, 85, 86, 88, 89] {
        let mut broken = whole.clone();
        broken[at] = broken[at].wrapping_add(1);
        assert!(client_hello(&records(&broken, 100)).is_err(), "{at}");
    }
    let mut longer = [&whole[..], &[0]].concat();
    longer[3] += 1;
    assert!(client_hello(&records(&longer, 100)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// No bytes make it panic, and once it has decided more bytes change nothing.
    #[test]
    fn decides_once(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1..90_usize) {
        for bytes in [bytes.clone(), [&[HANDSHAKE, 3, 1], &bytes[..]].concat(), records(&bytes, size),
            records(&[&[1, 0, 0], &bytes[..]].concat(), size)]
        {
            let mut decided = None;
            for end in 0..=bytes.len() {
                let now = client_hello(&bytes[..end]);
                if let Some(before) = &decided {
                    prop_assert_eq!(before, &now);
                } else if now != Ok(None) {
                    decided = Some(now);
                }
            }
        }
    }

    /// A hello with one changed byte gives a name, none or an error, but does not panic.
    #[test]
    fn survives_changes(at in 0..500_usize, byte in any::<u8>(), size in 1..90_usize) {
        let mut hello = records(&usual(), size);
        let at = at % hello.len();
        hello[at] = byte;
        prop_assert_eq!(client_hello(&hello), client_hello(&hello));
    }
}
