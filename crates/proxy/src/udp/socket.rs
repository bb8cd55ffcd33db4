//! Sockets that know which address and port a datagram was sent to, and answer from there.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::ops::Deref;
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{in6_addr, in6_pktinfo, sockaddr_in6};
use nix::sys::socket::sockopt::Ipv6OrigDstAddr;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg, setsockopt,
};
use rustix::net::{RecvFlags, SendFlags, recv, sendto};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::netns::Netns;
use crate::sockets::Held;

/// A socket at which datagrams for many addresses, or for one, arrive.
pub(super) struct Listener {
    socket: Socket,
    /// Where it is bound; the unspecified address and [`crate::netns::RANGES`] stand for many.
    at: SocketAddr,
    /// Room for what the kernel says about a datagram.
    said: RefCell<Vec<u8>>,
}

enum Socket {
    /// One that outlives the process.
    Lasting(Held<UdpSocket>),
    Own(UdpSocket),
}

impl Deref for Socket {
    type Target = UdpSocket;

    fn deref(&self) -> &UdpSocket {
        match self {
            Self::Lasting(socket) => socket,
            Self::Own(socket) => socket,
        }
    }
}

/// A datagram that arrived; its bytes are in the buffer that was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    pub(super) length: usize,
    pub(super) client: SocketAddr,
    /// The address and port that was called.
    pub(super) local: SocketAddr,
}

impl Listener {
    /// A socket that callers come to at `at`.
    pub(super) fn new(socket: Held<UdpSocket>, at: SocketAddr) -> io::Result<Self> {
        if names_many(at) {
            setsockopt(&*socket, Ipv6OrigDstAddr, &true)?;
        }
        Ok(Self {
            socket: Socket::Lasting(socket),
            at,
            said: RefCell::new(cmsg_space!(sockaddr_in6)),
        })
    }

    /// A socket that only answers from `at`: what comes there is led to another one.
    pub(super) fn outlet(netns: &Netns, at: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::from_std(netns.udp(at)?)?;
        Ok(Self {
            socket: Socket::Own(socket),
            at,
            said: RefCell::default(),
        })
    }

    /// Waits for datagrams.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// The next datagram that is there already, else [`io::ErrorKind::WouldBlock`].
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        if !names_many(self.at) {
            let (length, client) = self.socket.try_recv_from(buffer)?;
            let local = self.at;
            return Ok(Received {
                length,
                client,
                local,
            });
        }
        self.socket
            .try_io(Interest::READABLE, || self.receive_any(buffer))
    }

    fn receive_any(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut said = self.said.borrow_mut();
        let mut slices = [IoSliceMut::new(buffer)];
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrIn6>(fd, &mut slices, Some(&mut said), flags)?;
        let local = message.cmsgs()?.find_map(|said| match said {
            ControlMessageOwned::Ipv6OrigDstAddr(raw) => Some(SockaddrIn6::from(raw)),
            _ => None,
        });
        match (message.address, local) {
            (Some(client), Some(local)) => Ok(Received {
                length: message.bytes,
                client: plain(client.into()),
                local: plain(local.into()),
            }),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Sends what fits into the socket's buffer, from the address that was called.
    pub(super) fn send(&self, from: IpAddr, to: SocketAddr, datagram: &[u8]) -> io::Result<usize> {
        let (IpAddr::V6(from), SocketAddr::V6(to), true) =
            (from, to, self.at.ip().is_unspecified())
        else {
            return Ok(sendto(&*self.socket, datagram, SendFlags::DONTWAIT, &to)?);
        };
        let source = in6_pktinfo {
            ipi6_addr: in6_addr {
                s6_addr: from.octets(),
            },
            ipi6_ifindex: 0,
        };
        let said = [ControlMessage::Ipv6PacketInfo(&source)];
        let (slices, fd) = ([IoSlice::new(datagram)], self.socket.as_raw_fd());
        let to = SockaddrIn6::from(to);
        let flags = MsgFlags::MSG_DONTWAIT;
        sendmsg(fd, &slices, &said, flags, Some(&to)).map_err(Errno::into)
    }
}

/// Sends what fits into the buffer of a connected socket. Not by way of the runtime, to which a new socket is
/// not writable yet.
pub(super) fn send(socket: &UdpSocket, datagram: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, datagram, SendFlags::DONTWAIT)?)
}

/// The next answer that is there already, else [`io::ErrorKind::WouldBlock`]; a refusal is an error once.
pub(super) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<usize> {
    let mut take = || Ok(recv(socket, &mut *buffer, RecvFlags::DONTWAIT)?.0);
    match socket.try_io(Interest::READABLE, &mut take) {
        // A refusal makes a socket ready to tell an error, not to be read.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            socket.try_io(Interest::ERROR, take)
        }
        result => result,
    }
}

/// Whether a socket that is bound here gets datagrams for other addresses or ports.
fn names_many(at: SocketAddr) -> bool {
    at.ip().is_unspecified() || at == crate::netns::RANGES
}

/// Without flow label and scope, which are no part of who is who.
fn plain(address: SocketAddrV6) -> SocketAddr {
    SocketAddr::new((*address.ip()).into(), address.port())
}
