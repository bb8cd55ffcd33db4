//! Version 2, binary (section 2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::tlv::{self, Tlv, Tlvs};
use crate::{
    Ends, Header, HeaderError, MAX_HEADER, Origin, Transport, UnixPath, crc32c, kind, may_become,
};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length of what follows.
const FIXED: usize = 16;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPEC: u8 = 0;
const INET: u8 = 1;
const INET6: u8 = 2;
const UNIX: u8 = 3;

/// Reads a header.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Header<'_>, usize)>, HeaderError> {
    if !may_become(bytes, SIGNATURE) {
        return Err(HeaderError("it begins as neither version does"));
    }
    let command = bytes.get(SIGNATURE.len()).copied();
    if command.is_some_and(|command| command != LOCAL && command != PROXY) {
        return Err(HeaderError("it has an unknown version or command"));
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(None);
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let size = FIXED + length;
    if size > MAX_HEADER {
        return Err(HeaderError("it is longer than 4096 bytes"));
    }
    let (Some(whole), Some(block)) = (bytes.get(..size), rest.get(..length)) else {
        return Ok(None);
    };
    // The whole block of a LOCAL header is to be passed over.
    let header = if command == LOCAL {
        Header {
            origin: Origin::Local,
            tlvs: Tlvs::default(),
        }
    } else {
        proxied(whole, family, block)?
    };
    Ok(Some((header, size)))
}

fn proxied<'b>(whole: &'b [u8], family: u8, block: &'b [u8]) -> Result<Header<'b>, HeaderError> {
    let mut rest = block;
    let origin = origin(family, &mut rest)?;
    let tlvs = Tlvs::check(rest)?;
    let at = whole.len() - rest.len();
    if let Some(range) = tlv::checksum(rest, at)? {
        let said = whole.get(range.clone()).unwrap_or_default();
        if said != crc32c::without(whole, range).to_be_bytes() {
            return Err(HeaderError("its checksum is wrong"));
        }
    }
    Ok(Header { origin, tlvs })
}

/// Takes the addresses from the front of `block`.
fn origin<'b>(family: u8, block: &mut &'b [u8]) -> Result<Origin<'b>, HeaderError> {
    let transport = match family & 0x0f {
        0 => None,
        1 => Some(Transport::Stream),
        2 => Some(Transport::Datagram),
        _ => return Err(UNASSIGNED),
    };
    match (family >> 4, transport) {
        (UNSPEC, None) => Ok(Origin::Unknown),
        (INET, Some(transport)) => {
            let (source, destination) = (take::<4>(block)?, take::<4>(block)?);
            let ends = ends(Ipv4Addr::from(*source), Ipv4Addr::from(*destination), block)?;
            Ok(Origin::Inet { transport, ends })
        }
        (INET6, Some(transport)) => {
            let (source, destination) = (take::<16>(block)?, take::<16>(block)?);
            let ends = ends(Ipv6Addr::from(*source), Ipv6Addr::from(*destination), block)?;
            Ok(Origin::Inet { transport, ends })
        }
        (UNIX, Some(transport)) => {
            let (source, destination): (UnixPath<'b>, UnixPath<'b>) = (take(block)?, take(block)?);
            Ok(Origin::Unix {
                transport,
                source,
                destination,
            })
        }
        _ => Err(UNASSIGNED),
    }
}

const UNASSIGNED: HeaderError = HeaderError("it has an unassigned family or transport");

fn ends(
    source: impl Into<IpAddr>,
    destination: impl Into<IpAddr>,
    block: &mut &[u8],
) -> Result<Ends, HeaderError> {
    let mut port = || take::<2>(block).map(|port| u16::from_be_bytes(*port));
    let (from, to) = (port()?, port()?);
    Ok(Ends {
        source: SocketAddr::new(source.into(), from),
        destination: SocketAddr::new(destination.into(), to),
    })
}

fn take<'b, const N: usize>(block: &mut &'b [u8]) -> Result<&'b [u8; N], HeaderError> {
    let (taken, rest) = block
        .split_first_chunk()
        .ok_or(HeaderError("it is too short for its addresses"))?;
    *block = rest;
    Ok(taken)
}

/// Whether a header has a checksum over all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// It has.
    With,
    /// It has not.
    Without,
}

/// What a header should say has no room in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a PROXY header of version 2 has at most 64 KiB")]
pub struct TooLong;

/// Writes a header. Checksums among `tlvs` are left out, as they are of another header. After an error
/// nothing is added to `out`.
pub fn write<'v>(
    origin: &Origin<'_>,
    tlvs: impl IntoIterator<Item = Tlv<'v>>,
    checksum: Checksum,
    out: &mut Vec<u8>,
) -> Result<(), TooLong> {
    let start = out.len();
    let written = write_all(origin, tlvs, checksum, out, start);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn write_all<'v>(
    origin: &Origin<'_>,
    tlvs: impl IntoIterator<Item = Tlv<'v>>,
    checksum: Checksum,
    out: &mut Vec<u8>,
    start: usize,
) -> Result<(), TooLong> {
    out.extend_from_slice(SIGNATURE);
    let local = *origin == Origin::Local;
    out.push(if local { LOCAL } else { PROXY });
    let length_at = out.len() + 1;
    out.extend_from_slice(&[0; 3]);
    let family = write_addresses(origin, out);
    if let Some(place) = out.get_mut(length_at - 1) {
        *place = family;
    }
    // A LOCAL header says nothing else.
    let said = tlvs
        .into_iter()
        .filter(|one| !local && one.kind != kind::CRC32C);
    for one in said {
        one.write(out)?;
    }
    let checksum_at = (checksum == Checksum::With && !local).then(|| {
        // Four zeros always fit.
        let _ = Tlv {
            kind: kind::CRC32C,
            value: &[0; 4],
        }
        .write(out);
        out.len() - 4
    });
    let length = u16::try_from(out.len() - start - FIXED).map_err(|_| TooLong)?;
    put(out, length_at, &length.to_be_bytes());
    if let Some(at) = checksum_at {
        let sum = crc32c::of(out.get(start..).unwrap_or_default());
        put(out, at, &sum.to_be_bytes());
    }
    Ok(())
}

/// Writes the addresses and gives the byte that says what they are.
fn write_addresses(origin: &Origin<'_>, out: &mut Vec<u8>) -> u8 {
    match origin {
        Origin::Local | Origin::Unknown => UNSPEC << 4,
        Origin::Inet { transport, ends } => {
            let ends = ends.of_one_family();
            let all = [ends.source, ends.destination];
            for end in all {
                match end.ip() {
                    IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
                    IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
                }
            }
            for end in all {
                out.extend_from_slice(&end.port().to_be_bytes());
            }
            let family = if ends.source.is_ipv4() { INET } else { INET6 };
            family << 4 | number(*transport)
        }
        Origin::Unix {
            transport,
            source,
            destination,
        } => {
            out.extend_from_slice(*source);
            out.extend_from_slice(*destination);
            UNIX << 4 | number(*transport)
        }
    }
}

const fn number(transport: Transport) -> u8 {
    match transport {
        Transport::Stream => 1,
        Transport::Datagram => 2,
    }
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
