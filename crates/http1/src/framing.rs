//! How the length of a message body is told (RFC 9112, 6.3), read in the one strict way.

use crate::error::{RequestError, ResponseError};
use crate::fields::Fields;
use crate::method::Method;
use crate::name::Name;

/// The versions that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2. Its requests and responses have the form of HTTP/1.1 on their way through the proxy, where
    /// [`RequestFacts::version`](crate::RequestFacts::version) alone tells them apart.
    Http2,
}

impl Version {
    pub(crate) const fn of(minor: Option<u8>) -> Self {
        match minor {
            Some(0) => Self::Http10,
            _ => Self::Http11,
        }
    }

    /// The value of `Via` on responses to a client that speaks this version.
    pub(crate) const fn via(self) -> &'static [u8] {
        match self {
            Self::Http10 | Self::Http11 => b"1.1 fly.io",
            Self::Http2 => b"2 fly.io",
        }
    }
}

/// How a request's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestFraming {
    /// No body, and no field that speaks of one.
    None,
    /// As many bytes as `Content-Length` says.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// How a response's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFraming {
    /// No body, whatever the fields say.
    None,
    /// As many bytes as `Content-Length` says.
    Length(u64),
    /// Chunks.
    Chunked,
    /// All bytes until the Machine closes.
    UntilClose,
}

/// What the two framing fields say together.
enum Told {
    Nothing,
    Length(u64),
    Chunked,
}

/// Why they say nothing that counts.
enum Flaw {
    /// Two readers could find different ends.
    Unclear(&'static str),
    /// The end is clear; what it ends is not understood.
    Coding,
}

impl From<Flaw> for RequestError {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Unclear(why) => Self::Malformed(why),
            Flaw::Coding => Self::Coding,
        }
    }
}

impl From<Flaw> for ResponseError {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Unclear(why) => Self(why),
            Flaw::Coding => Self(OTHER_CODING),
        }
    }
}

const OTHER_CODING: &str = "a Transfer-Encoding other than chunked";

impl RequestFraming {
    pub(crate) fn of(fields: Fields<'_, '_>, version: Version) -> Result<Self, RequestError> {
        match told(fields, version)? {
            Told::Nothing => Ok(Self::None),
            Told::Length(length) => Ok(Self::Length(length)),
            Told::Chunked => Ok(Self::Chunked),
        }
    }
}

impl ResponseFraming {
    pub(crate) fn of(
        fields: Fields<'_, '_>,
        version: Version,
        status: u16,
        method: Method,
    ) -> Result<Self, ResponseError> {
        let told = told(fields, version)?;
        if method == Method::Head || matches!(status, 100..=199 | 204 | 304) {
            return Ok(Self::None);
        }
        Ok(match told {
            Told::Nothing => Self::UntilClose,
            Told::Length(length) => Self::Length(length),
            Told::Chunked => Self::Chunked,
        })
    }
}

fn told(fields: Fields<'_, '_>, version: Version) -> Result<Told, Flaw> {
    let mut told = Told::Nothing;
    for (name, _, value) in fields.iter() {
        told = match (name, told) {
            (Name::ContentLength, Told::Nothing) => {
                Told::Length(length(value).map_err(Flaw::Unclear)?)
            }
            (Name::ContentLength, Told::Length(_)) => {
                return Err(Flaw::Unclear("several Content-Length fields"));
            }
            (Name::TransferEncoding, Told::Nothing) => chunked(value, version)?,
            (Name::TransferEncoding, Told::Chunked) => {
                return Err(Flaw::Unclear("several Transfer-Encoding fields"));
            }
            (Name::ContentLength, Told::Chunked) | (Name::TransferEncoding, Told::Length(_)) => {
                return Err(Flaw::Unclear("both Content-Length and Transfer-Encoding"));
            }
            (_, told) => told,
        };
    }
    Ok(told)
}

fn chunked(value: &[u8], version: Version) -> Result<Told, Flaw> {
    if version == Version::Http10 {
        return Err(Flaw::Unclear("Transfer-Encoding in HTTP/1.0"));
    }
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Told::Chunked);
    }
    if is_other_then_chunked(value) {
        return Err(Flaw::Coding);
    }
    Err(Flaw::Unclear(OTHER_CODING))
}

/// Whether other codings were applied, named by plain words, and then `chunked`, once.
fn is_other_then_chunked(value: &[u8]) -> bool {
    let is_chunked = |word: &[u8]| word.eq_ignore_ascii_case(b"chunked");
    let mut words = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let last = words.next_back();
    let plain = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_alphanumeric);
    last.is_some_and(is_chunked) && words.all(|word| plain(word) && !is_chunked(word))
}

fn length(value: &[u8]) -> Result<u64, &'static str> {
    const INVALID: &str = "a Content-Length that is not one number";
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(INVALID);
    }
    let digits = std::str::from_utf8(value).map_err(|_| INVALID)?;
    // The top bit stays free, so that no later sum of lengths can overflow.
    digits
        .parse::<i64>()
        .ok()
        .and_then(|length| u64::try_from(length).ok())
        .ok_or(INVALID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_plain_digits() {
        assert_eq!(length(b"0"), Ok(0));
        assert_eq!(length(b"0012"), Ok(12));
        assert_eq!(length(b"9223372036854775807"), Ok(i64::MAX as u64));
        for bad in [
            "",
            "-1",
            "+1",
            "1 ",
            "0x1",
            "1,1",
            "1, 1",
            "9223372036854775808",
            "1_0",
            "\u{663}",
        ] {
            assert!(length(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
