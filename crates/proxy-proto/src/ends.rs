//! The two ends of a connection.

use std::net::{IpAddr, SocketAddr};

/// From where to where a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The client's address and port.
    pub source: SocketAddr,
    /// The address and port that the client called.
    pub destination: SocketAddr,
}

/// The path of a Unix socket: 108 bytes, as in the kernel's structure.
pub type UnixPath<'b> = &'b [u8; 108];

impl Ends {
    /// The same with both addresses of one family, as headers have them: an IPv4 address beside an IPv6 one
    /// is written as IPv6 (RFC 4291, 2.5.5.2).
    pub(crate) fn of_one_family(self) -> Self {
        if self.source.is_ipv4() == self.destination.is_ipv4() {
            return self;
        }
        Self {
            source: as_v6(self.source),
            destination: as_v6(self.destination),
        }
    }
}

fn as_v6(end: SocketAddr) -> SocketAddr {
    match end.ip() {
        IpAddr::V4(ip) => SocketAddr::from((ip.to_ipv6_mapped(), end.port())),
        IpAddr::V6(_) => end,
    }
}
