//! Sockets inside a network namespace.
//!
//! A socket belongs for life to the namespace its thread was in when it was made, so the calling
//! thread goes there, makes it and comes back, without an await in between. Coming back cannot be
//! allowed to fail: a thread left behind would accept and connect on the wrong network, so the
//! process ends instead.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpTransparent;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Protocol, Socket, Type};

/// Where the calls to all port ranges of a namespace are led to, see [`crate::ranges`]. No packet from a
/// Machine can name this address, and it is in nobody's way.
pub(crate) const RANGES: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 1);

/// Connections that may wait in the kernel to be accepted.
const BACKLOG: i32 = 4096;

thread_local! {
    static HOME: io::Result<File> = File::open("/proc/thread-self/ns/net");
}

/// An open network namespace.
#[derive(Debug)]
pub(crate) struct Netns {
    file: File,
    identity: (u64, u64),
}

impl Netns {
    /// Opens the namespace whose file is at `path`. Pins it until dropped.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        Ok(Self {
            file,
            identity: (meta.dev(), meta.ino()),
        })
    }

    /// Whether both are the same namespace.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// Device and inode, the same in every process.
    pub(crate) fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Runs `make` with the calling thread inside the namespace. `make` must not keep the thread.
    pub(crate) fn within<T>(&self, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        HOME.with(|home| {
            let home = home
                .as_ref()
                .map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(self.file.as_fd(), kind)?;
            let result = make();
            if move_into_link_name_space(home.as_fd(), kind).is_err() {
                std::process::abort();
            }
            result
        })
    }

    /// A new non-blocking IPv4 socket for a connection to a Machine.
    pub(crate) fn tcp4_socket(&self) -> io::Result<Socket> {
        self.within(|| {
            let kind = Type::STREAM.nonblocking().cloexec();
            Socket::new(Domain::IPV4, kind, Some(Protocol::TCP))
        })
    }

    /// A new non-blocking IPv4 socket for datagrams to and from a Machine, connected to `to`.
    pub(crate) fn udp4_to(&self, to: SocketAddrV4) -> io::Result<UdpSocket> {
        let socket = self.within(|| {
            let kind = Type::DGRAM.nonblocking().cloexec();
            Socket::new(Domain::IPV4, kind, Some(Protocol::UDP))
        })?;
        socket.connect(&SocketAddr::from(to).into())?;
        Ok(socket.into())
    }

    /// A listening non-blocking TCP socket; several threads may bind the same address. An address
    /// that the namespace does not have yet may be bound too.
    pub(crate) fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        let socket = self.bound(at, Type::STREAM, Protocol::TCP)?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    }

    /// A bound non-blocking UDP socket, with the same properties as [`Self::listen`].
    pub(crate) fn udp(&self, at: SocketAddr) -> io::Result<UdpSocket> {
        Ok(self.bound(at, Type::DGRAM, Protocol::UDP)?.into())
    }

    fn bound(&self, at: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let domain = Domain::for_address(at);
        let kind = kind.nonblocking().cloexec();
        let socket = self.within(|| Socket::new(domain, kind, Some(protocol)))?;
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        } else {
            socket.set_freebind_v4(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        if at == RANGES {
            setsockopt(&socket, IpTransparent, &true)?;
        }
        socket.bind(&at.into())?;
        Ok(socket)
    }
}
