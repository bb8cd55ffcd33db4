//! How a `PostgreSQL` client begins: with a wish for encryption, with TLS itself, or without either.
//!
//! A function of bytes. Source: `PostgreSQL` documentation, "Message Formats" and "SSL Session Encryption".

/// The longest startup packet, as in the server itself.
pub const MAX_PACKET: usize = 10_000;

/// The answer to [`Opening::Ssl`]: TLS may begin.
pub const WILLING: &[u8] = b"S";
/// The answer to [`Opening::GssEnc`]: not that way.
pub const UNWILLING: &[u8] = b"N";
/// The name of the protocol in ALPN.
pub const ALPN: &str = "postgresql";

/// Length and code of a request.
const HEAD: usize = 8;
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSSENC: u32 = 80_877_104;
/// A cancel key has up to 256 bytes since protocol 3.2, and had 4 before.
const CANCEL_LENGTHS: std::ops::RangeInclusive<usize> = 16..=268;
/// The longest error of a server that is looked at.
const MAX_ERROR: usize = 8192;
const CANNOT_CONNECT_NOW: &[u8] = b"57P03";
const MAJOR: u32 = 3;
/// The first byte of TLS: the type of a handshake record.
const HANDSHAKE: u8 = 0x16;

/// What a client begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// It asks whether TLS may begin, and waits for the answer.
    Ssl,
    /// It asks for encryption by GSSAPI, and waits for the answer.
    GssEnc,
    /// It begins TLS without asking.
    Tls,
    /// It wants a query of another connection to be cancelled. Nothing else follows.
    Cancel,
    /// It begins a session without encryption.
    Startup,
}

/// The bytes are no beginning of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpeningError(pub &'static str);

/// What the first bytes of a connection, or those after [`UNWILLING`], are; `None` when more are needed.
/// A client has to wait for the answer to what it asks: bytes behind a question are an error, since who
/// put them there may be another than who speaks inside TLS afterwards (CVE-2021-23222).
pub fn opening(bytes: &[u8]) -> Result<Option<Opening>, OpeningError> {
    if bytes.first() == Some(&HANDSHAKE) {
        return Ok(Some(Opening::Tls));
    }
    let Some(length) = number(bytes, 0) else {
        // The length of a valid packet begins with two zeros.
        let bad = bytes.iter().take(2).any(|byte| *byte != 0);
        return if bad { Err(NO_POSTGRES) } else { Ok(None) };
    };
    let length = length as usize;
    if !(HEAD..=MAX_PACKET).contains(&length) {
        return Err(NO_POSTGRES);
    }
    let Some(code) = number(bytes, 4) else {
        return Ok(None);
    };
    match code {
        SSL | GSSENC if length != HEAD => Err(NO_POSTGRES),
        SSL | GSSENC if bytes.len() > HEAD => Err(INJECTED),
        SSL => Ok(Some(Opening::Ssl)),
        GSSENC => Ok(Some(Opening::GssEnc)),
        CANCEL if !CANCEL_LENGTHS.contains(&length) => Err(NO_POSTGRES),
        CANCEL if bytes.len() > length => Err(OpeningError("bytes behind a CancelRequest")),
        CANCEL => Ok((bytes.len() == length).then_some(Opening::Cancel)),
        code if code >> 16 == MAJOR => Ok(Some(Opening::Startup)),
        _ => Err(NO_POSTGRES),
    }
}

/// How long the packet is that these bytes begin with.
pub fn packet_length(bytes: &[u8]) -> Option<usize> {
    number(bytes, 0).map(|length| length as usize)
}

/// What a server says to the beginning of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstReply {
    /// It takes no sessions now: it is starting up, shutting down or in recovery (SQLSTATE 57P03,
    /// `cannot_connect_now`).
    StartingUp,
    /// Anything else.
    Other,
}

/// What the first bytes of a server are; `None` when more are needed. It is not trusted: what is no short error is
/// anything else.
pub fn first_reply(bytes: &[u8]) -> Option<FirstReply> {
    if *bytes.first()? != b'E' {
        return Some(FirstReply::Other);
    }
    let length = number(bytes, 1)? as usize;
    if !(4..=MAX_ERROR).contains(&length) {
        return Some(FirstReply::Other);
    }
    let mut fields = bytes.get(5..=length)?;
    // Each is its kind, then text that ends with a zero.
    while let [kind, rest @ ..] = fields {
        let end = rest
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        if (*kind, text) == (b'C', CANNOT_CONNECT_NOW) {
            return Some(FirstReply::StartingUp);
        }
        fields = after.get(1..).unwrap_or_default();
    }
    Some(FirstReply::Other)
}

const NO_POSTGRES: OpeningError = OpeningError("something else than PostgreSQL's protocol");
const INJECTED: OpeningError =
    OpeningError("bytes behind a request for encryption, before it was answered");

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

/// An `ErrorResponse` that ends the session: SQLSTATE 28000, with one sentence and what to do.
pub fn refusal(message: &str, hint: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    for (kind, text) in [
        (b'S', "FATAL"),
        (b'V', "FATAL"),
        (b'C', "28000"),
        (b'M', message),
        (b'H', hint),
    ] {
        fields.push(kind);
        fields.extend(text.bytes().filter(|byte| *byte != 0));
        fields.push(0);
    }
    fields.push(0);
    let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX);
    [b"E", &length.to_be_bytes()[..], &fields].concat()
}
