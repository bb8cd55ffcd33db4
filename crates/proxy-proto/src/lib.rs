//! The PROXY protocol, versions 1 and 2: the header before a connection's bytes that says from where to where
//! the connection was before a proxy took it.
//!
//! Functions of bytes, strict on purpose: whoever reads a header believes it, so one that two readers could
//! understand differently is refused. Source of all rules:
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, whose sections the comments name.

mod crc32c;
mod ends;
mod tlv;
mod v1;
mod v2;

pub use ends::{Ends, UnixPath};
pub use tlv::{Ssl, Tlv, Tlvs, kind};
pub use v1::write as write_v1;
pub use v2::{Checksum, TooLong, write as write_v2};

/// The longest header that is read. The longest of version 1 is 107 bytes; version 2 could have 64 KiB, of
/// which addresses and everything that proxies add in practice take a few hundred.
pub const MAX_HEADER: usize = 4096;

/// A header that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'b> {
    /// What it says of the connection.
    pub origin: Origin<'b>,
    /// What else it says; version 1 has none.
    pub tlvs: Tlvs<'b>,
}

/// Where a connection came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin<'b> {
    /// The proxy itself made it, as for a health check (`LOCAL`): its own addresses count.
    Local,
    /// The proxy does not know (`UNKNOWN`, `UNSPEC`): the connection's own addresses count.
    Unknown,
    /// Internet addresses.
    Inet {
        /// What the connection was.
        transport: Transport,
        /// From where to where it was.
        ends: Ends,
    },
    /// Unix sockets.
    Unix {
        /// What the connection was.
        transport: Transport,
        /// The client's path.
        source: UnixPath<'b>,
        /// The path that was called.
        destination: UnixPath<'b>,
    },
}

/// What kind of connection a header speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Such as TCP.
    Stream,
    /// Such as UDP.
    Datagram,
}

/// The bytes are no header that counts. After this the connection is to be reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HeaderError(pub &'static str);

/// Reads the header at the beginning of `bytes`, and says how many bytes it takes; `None` when more bytes are
/// needed. What follows it is not looked at. An error is told by as few bytes as possible.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header<'_>, usize)>, HeaderError> {
    // No version begins as the other does.
    match bytes.first() {
        None => Ok(None),
        Some(&b'P') => v1::parse(bytes),
        Some(_) => v2::parse(bytes),
    }
}

/// Whether what arrived so far begins as `whole` does.
fn may_become(bytes: &[u8], whole: &[u8]) -> bool {
    bytes.iter().zip(whole).all(|(one, other)| one == other)
}
