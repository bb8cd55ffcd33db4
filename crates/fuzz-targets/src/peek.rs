//! What a caller may begin with: a PROXY header, a TLS handshake, a `PostgreSQL` session.

use std::net::Ipv4Addr;

use roost_pg_startup::{MAX_PACKET, first_reply, opening};
use roost_proxy_proto::{Checksum, MAX_HEADER, Origin, Transport, kind, parse, write_v1, write_v2};
use roost_tls_peek::MAX_HELLO;
use rustls::server::Acceptor;

/// A PROXY header is found alike however much of it is there, and written again says the same.
pub(crate) fn proxy_header(bytes: &[u8]) {
    let whole = parse(bytes);
    let cuts = (0..bytes.len()).step_by(bytes.len() / 64 + 1);
    for cut in cuts {
        match parse(&bytes[..cut]) {
            Ok(None) => {}
            early => assert_eq!(early, whole, "in pieces"),
        }
    }
    let Ok(Some((header, size))) = whole else {
        return;
    };
    assert!(size <= bytes.len().min(MAX_HEADER), "bounded");
    let mut out = Vec::new();
    write_v2(&header.origin, header.tlvs.iter(), Checksum::With, &mut out).unwrap();
    let (again, _) = parse(&out).unwrap().unwrap();
    assert_eq!(again.origin, header.origin);
    let said = |one: &roost_proxy_proto::Tlv<'_>| one.kind != kind::CRC32C;
    assert!(
        again
            .tlvs
            .iter()
            .filter(said)
            .eq(header.tlvs.iter().filter(said))
    );
    if let Origin::Inet {
        transport: Transport::Stream,
        ends,
    } = header.origin
    {
        let mut line = Vec::new();
        write_v1(Some(ends), &mut line);
        let (again, length) = parse(&line).unwrap().unwrap();
        assert_eq!((again.origin, length), (header.origin, line.len()));
    }
}

/// A `ClientHello` is read alike however much of what follows is there, and its name is one.
pub(crate) fn client_hello(bytes: &[u8]) {
    let whole = roost_tls_peek::client_hello(bytes);
    let cuts = (0..bytes.len()).step_by(bytes.len() / 64 + 1);
    for cut in cuts {
        match roost_tls_peek::client_hello(&bytes[..cut]) {
            Ok(None) => {}
            early => assert_eq!(early, whole, "in pieces"),
        }
    }
    if bytes.len() >= MAX_HELLO {
        assert_ne!(whole, Ok(None), "bounded");
    }
    if let Ok(Some(hello)) = &whole
        && let Some(name) = &hello.server_name
    {
        let fine = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
        assert!((1..=255).contains(&name.len()) && name.bytes().all(fine));
    }
    if let (Ok(Some(hello)), Ok(theirs)) = (&whole, by_rustls(bytes)) {
        let ours = hello.server_name.as_deref();
        // An address is no server name (RFC 6066, 3); no app is called so.
        let ours = ours.filter(|name| name.parse::<Ipv4Addr>().is_err());
        assert_eq!(ours, theirs.as_deref(), "who is meant");
    }
}

/// The name that is found by who goes on with the handshake; an error when that goes no further.
fn by_rustls(mut bytes: &[u8]) -> Result<Option<String>, ()> {
    let mut acceptor = Acceptor::default();
    while acceptor.read_tls(&mut bytes).map_err(drop)? > 0 {
        if let Some(accepted) = acceptor.accept().map_err(drop)? {
            let hello = accepted.client_hello();
            let name = hello.server_name().map(str::to_ascii_lowercase);
            return Ok(name.map(|name| name.trim_end_matches('.').to_owned()));
        }
    }
    Err(())
}

/// What is wrong stays wrong whatever follows, and what was understood stays that unless what follows is wrong:
/// there is never another meaning.
pub(crate) fn pg_startup(bytes: &[u8]) {
    let whole = opening(bytes);
    for cut in (0..bytes.len()).step_by(bytes.len() / 64 + 1) {
        match opening(&bytes[..cut]) {
            Ok(None) => {}
            Ok(early) => assert!(whole.is_err() || whole == Ok(early), "in pieces"),
            Err(_) => assert!(whole.is_err(), "in pieces"),
        }
    }
    if bytes.len() >= MAX_PACKET {
        assert_ne!(whole, Ok(None), "bounded");
        assert_ne!(first_reply(bytes), None, "bounded");
    }
    let reply = first_reply(bytes);
    for cut in (0..bytes.len()).step_by(bytes.len() / 64 + 1) {
        let early = first_reply(&bytes[..cut]);
        assert!(early.is_none() || early == reply, "in pieces");
    }
}
