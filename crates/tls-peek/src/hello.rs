//! The body of a `ClientHello` (RFC 8446, 4.1.2; the same in all versions since 1.0).

use crate::reader::{CUT, Reader};
use crate::{ClientHello, HelloError};

const SERVER_NAME: usize = 0;
const HOST_NAME: usize = 0;
const MAX_NAME: usize = 255;

/// Reads the body.
pub(crate) fn parse(body: &[u8]) -> Result<ClientHello, HelloError> {
    let mut body = Reader(body);
    let Some(mut extensions) = extensions(&mut body) else {
        return Err(CUT);
    };
    let mut server_name = None;
    while !extensions.is_empty() {
        let (kind, data) = (extensions.number(2), extensions.vector(2));
        let (Some(kind), Some(data)) = (kind, data) else {
            return Err(CUT);
        };
        if kind == SERVER_NAME && server_name.replace(host_name(data)?).is_some() {
            return Err(HelloError("several server names"));
        }
    }
    Ok(ClientHello { server_name })
}

/// The extensions, of which a client may send none; `None` when a length before them is wrong.
fn extensions<'b>(body: &mut Reader<'b>) -> Option<Reader<'b>> {
    let (_version, _random) = (body.take(2)?, body.take(32)?);
    let (_session, _suites, _compression) = (body.vector(1)?, body.vector(2)?, body.vector(1)?);
    if body.is_empty() {
        return Some(Reader(&[]));
    }
    let extensions = body.vector(2)?;
    body.is_empty().then_some(extensions)
}

/// The one host name of the extension. Names of other types have no layout that could be read over.
fn host_name(mut data: Reader<'_>) -> Result<String, HelloError> {
    let mut list = data.vector(2).filter(|_| data.is_empty()).ok_or(CUT)?;
    if list.number(1) != Some(HOST_NAME) {
        return Err(HelloError("a server name that is no host name"));
    }
    let name = list.vector(2).ok_or(CUT)?;
    if !list.is_empty() {
        return Err(HelloError("several server names"));
    }
    let name = name.0.strip_suffix(b".").unwrap_or(name.0);
    if name.is_empty() || name.len() > MAX_NAME || !name.iter().copied().all(is_of_name) {
        return Err(HelloError("an invalid server name"));
    }
    let name = name
        .iter()
        .map(|byte| char::from(byte.to_ascii_lowercase()));
    Ok(name.collect())
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}
