//! What can be wrong with a message, and the status that tells so.

use crate::scan::{MAX_FIRST_LINE, MAX_HEAD};

/// Why a request is not forwarded. After each of these the connection must be closed, because its
/// remaining bytes cannot be delimited with certainty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// RFC 9112 calls it an error.
    #[error("{0}")]
    Malformed(&'static str),
    /// The request line is longer than [`MAX_FIRST_LINE`].
    #[error("the request line is longer than {MAX_FIRST_LINE} bytes")]
    TargetTooLong,
    /// The request line is too long by its method alone.
    #[error("the method is longer than {MAX_FIRST_LINE} bytes")]
    MethodTooLong,
    /// The body is coded in a way that is not understood, and its end could be found (RFC 9112, 6.1).
    #[error("a Transfer-Encoding other than chunked is not supported")]
    Coding,
    /// The head is larger than [`MAX_HEAD`] or has too many fields.
    #[error("the request head is larger than {MAX_HEAD} bytes or has too many fields")]
    HeadTooLarge,
    /// Well-formed, but neither HTTP/1.0 nor HTTP/1.1.
    #[error("only HTTP/1.0 and HTTP/1.1 are spoken here")]
    Version,
    /// `CONNECT`, which asks for a forward proxy.
    #[error("CONNECT is not supported")]
    Connect,
}

impl RequestError {
    /// The HTTP status to answer with.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::TargetTooLong => 414,
            Self::HeadTooLarge => 431,
            Self::Version => 505,
            Self::Connect | Self::Coding | Self::MethodTooLong => 501,
        }
    }
}

/// A Machine's response that cannot be trusted to be delimited as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ResponseError(pub &'static str);

/// A chunked body that breaks RFC 9112 section 7.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ChunkError(pub &'static str);
