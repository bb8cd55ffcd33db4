//! The first handshake message out of the records it came in (RFC 8446, 5.1).

use std::borrow::Cow;

use crate::reader::Reader;
use crate::{HANDSHAKE, HelloError, MAX_HELLO};

/// The longest fragment a record may hold.
const MAX_FRAGMENT: usize = 1 << 14;
/// Bytes before a handshake message: its type and length.
const MESSAGE_HEAD: usize = 4;
const CLIENT_HELLO: u8 = 1;

/// The body of the `ClientHello` at the beginning of `bytes`; `None` when more bytes are needed.
pub(crate) fn handshake(bytes: &[u8]) -> Result<Option<Cow<'_, [u8]>>, HelloError> {
    let mut records = Reader(bytes);
    let mut message = Cow::Borrowed(&[][..]);
    while let Some(fragment) = next_fragment(&mut records)? {
        if message.is_empty() {
            message = Cow::Borrowed(fragment);
        } else {
            message.to_mut().extend_from_slice(fragment);
        }
        if let Some(length) = length_of(&message)?
            && message.len() >= length
        {
            return Ok(Some(body(message, length)));
        }
    }
    // A message that will be refused is refused before it has arrived.
    length_of(&message).map(|_| None)
}

/// The next record's fragment, as far as it has arrived: the length of a message that is too long is
/// seen in its first bytes. `None` when nothing of one is left.
fn next_fragment<'b>(records: &mut Reader<'b>) -> Result<Option<&'b [u8]>, HelloError> {
    let kind = records.number(1);
    if kind.is_some_and(|kind| kind != usize::from(HANDSHAKE)) {
        return Err(HelloError("a record that is no handshake"));
    }
    let major = records.number(1);
    if major.is_some_and(|major| major != 3) {
        return Err(HelloError("a record of an unknown version"));
    }
    let (Some(_minor), Some(length)) = (records.number(1), records.number(2)) else {
        records.0 = &[];
        return Ok(None);
    };
    if length == 0 || length > MAX_FRAGMENT {
        return Err(HelloError("a record of an invalid length"));
    }
    let there = length.min(records.0.len());
    Ok(records.take(there).filter(|fragment| !fragment.is_empty()))
}

/// How long the message is with its head; `None` while that has not arrived.
fn length_of(message: &[u8]) -> Result<Option<usize>, HelloError> {
    let mut reader = Reader(message);
    match reader.number(1) {
        Some(kind) if kind != usize::from(CLIENT_HELLO) => {
            return Err(HelloError("a handshake that begins with no ClientHello"));
        }
        _ => {}
    }
    match reader.number(3) {
        Some(length) if length + MESSAGE_HEAD > MAX_HELLO => {
            Err(HelloError("the ClientHello is too long"))
        }
        length => Ok(length.map(|length| length + MESSAGE_HEAD)),
    }
}

fn body(message: Cow<'_, [u8]>, length: usize) -> Cow<'_, [u8]> {
    let inside = MESSAGE_HEAD..length;
    match message {
        Cow::Borrowed(message) => Cow::Borrowed(message.get(inside).unwrap_or_default()),
        Cow::Owned(message) => Cow::Owned(message.get(inside).unwrap_or_default().to_vec()),
    }
}
