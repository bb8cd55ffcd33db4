//! The codings that are spoken.

/// A content coding (RFC 9110, 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Zstandard (RFC 8878).
    Zstd,
    /// Brotli (RFC 7932).
    Brotli,
    /// gzip (RFC 1952).
    Gzip,
    /// The zlib format (RFC 1950), whose name in HTTP is `deflate`.
    Deflate,
}

impl Coding {
    /// All of them, the preferred one first.
    pub const ALL: [Self; 4] = [Self::Zstd, Self::Brotli, Self::Gzip, Self::Deflate];

    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// The coding that a client names, without regard to case.
    pub(crate) fn named(token: &[u8]) -> Option<Self> {
        let same = |coding: &Self| token.eq_ignore_ascii_case(coding.token().as_bytes());
        let old = token.eq_ignore_ascii_case(b"x-gzip").then_some(Self::Gzip);
        Self::ALL.into_iter().find(same).or(old)
    }
}
