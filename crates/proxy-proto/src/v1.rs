//! Version 1, one line of text (section 2.1).

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::{Ends, Header, HeaderError, Origin, Tlvs, Transport, may_become};

/// The longest line, its end included.
const MAX_LINE: usize = 107;
const BEGINNING: &[u8] = b"PROXY ";
const UNKNOWN: &[u8] = b"UNKNOWN";

type Parsed<'b> = Result<Option<(Header<'b>, usize)>, HeaderError>;

/// Reads a line.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<'_> {
    if !may_become(bytes, BEGINNING) {
        return Err(HeaderError("it does not begin with PROXY"));
    }
    let window = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(end) = window.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if bytes.len() < MAX_LINE {
            Ok(None)
        } else {
            Err(TOO_LONG)
        };
    };
    match (window.get(end), window.get(end + 1)) {
        (Some(b'\r'), Some(b'\n')) => {}
        (Some(b'\r'), None) if bytes.len() < MAX_LINE => return Ok(None),
        (Some(b'\r'), None) => return Err(TOO_LONG),
        _ => return Err(HeaderError("its line does not end with CR LF")),
    }
    let said = window.get(BEGINNING.len()..end).unwrap_or_default();
    let header = Header {
        origin: origin(said)?,
        tlvs: Tlvs::default(),
    };
    Ok(Some((header, end + 2)))
}

const TOO_LONG: HeaderError = HeaderError("its line is longer than 107 bytes");

fn origin(said: &[u8]) -> Result<Origin<'static>, HeaderError> {
    // What follows the word has to be ignored.
    let rest = said.strip_prefix(UNKNOWN);
    if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b" ")) {
        return Ok(Origin::Unknown);
    }
    let said = std::str::from_utf8(said).map_err(|_| WORDS)?;
    let mut words = said.split(' ');
    let ends = match words.next() {
        Some("TCP4") => ends::<Ipv4Addr>(words)?,
        Some("TCP6") => ends::<Ipv6Addr>(words)?,
        _ => return Err(HeaderError("it names neither TCP4, TCP6 nor UNKNOWN")),
    };
    Ok(Origin::Inet {
        transport: Transport::Stream,
        ends,
    })
}

const WORDS: HeaderError = HeaderError("it has not two addresses and two ports");

fn ends<'w, Ip: FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'w str>,
) -> Result<Ends, HeaderError> {
    let mut next = || words.next().ok_or(WORDS);
    let (source, destination) = (ip::<Ip>(next()?)?, ip::<Ip>(next()?)?);
    let (from, to) = (port(next()?)?, port(next()?)?);
    if words.next().is_some() {
        return Err(WORDS);
    }
    Ok(Ends {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    })
}

fn ip<Ip: FromStr + Into<IpAddr>>(word: &str) -> Result<IpAddr, HeaderError> {
    let ip = word.parse::<Ip>().map(Into::into);
    ip.map_err(|_| HeaderError("it has an invalid address"))
}

/// Digits only and no zero before them: the library would take a sign too.
fn port(word: &str) -> Result<u16, HeaderError> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && (word == "0" || !word.starts_with('0'));
    let number = word.parse().ok().filter(|_| canonical);
    number.ok_or(HeaderError("it has an invalid port"))
}

/// Writes a line; `None` for ends that are not known.
pub fn write(ends: Option<Ends>, out: &mut Vec<u8>) {
    out.extend_from_slice(BEGINNING);
    match ends.map(Ends::of_one_family) {
        None => out.extend_from_slice(UNKNOWN),
        Some(Ends {
            source,
            destination,
        }) => {
            let family = if source.is_ipv4() { 4 } else { 6 };
            let mut line = String::with_capacity(MAX_LINE);
            // Writing to a string cannot fail.
            let _ = write!(
                line,
                "TCP{family} {} {} {} {}",
                source.ip(),
                destination.ip(),
                source.port(),
                destination.port()
            );
            out.extend_from_slice(line.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}
