//! Asking the host's resolvers, from the proxy's own namespace.
//!
//! Each query has a socket of its own, so its source port is drawn by the kernel and an answer must
//! come from the address asked; with the random id and the repeated question that is what stands
//! between a Machine and a forged answer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use roost_dns::{Failure, Forward, Transport, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::dns::random;

/// How long one resolver may take.
const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST: usize = 65_535;

/// The reply to a query: the first resolver's that has one, in the given order.
///
/// A resolver that tells of its own trouble is passed over; when no other does better its answer
/// is the reply. Takes at most [`PATIENCE`] for each.
pub(super) async fn resolve(forward: &Forward, resolvers: &[SocketAddr]) -> Vec<u8> {
    let mut troubled = None;
    for resolver in resolvers {
        match timeout(PATIENCE, ask(forward, *resolver)).await {
            Ok(Ok((Verdict::Failing, answer))) => troubled = Some(answer),
            Ok(Ok((_, answer))) => return forward.relay(answer),
            Ok(Err(_)) | Err(_) => {}
        }
    }
    match troubled {
        Some(answer) => forward.relay(answer),
        None if resolvers.is_empty() => forward.fail(Failure::NoResolver),
        None => forward.fail(Failure::Silence),
    }
}

async fn ask(forward: &Forward, resolver: SocketAddr) -> io::Result<(Verdict, Vec<u8>)> {
    let (verdict, answer) = ask_by_datagram(forward, resolver).await?;
    if verdict == Verdict::Truncated && forward.transport() == Transport::Tcp {
        return ask_by_stream(forward, resolver).await;
    }
    Ok((verdict, answer))
}

async fn ask_by_datagram(
    forward: &Forward,
    resolver: SocketAddr,
) -> io::Result<(Verdict, Vec<u8>)> {
    let id = random::message_id()?;
    let any = match resolver {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(resolver).await?;
    socket.send(&forward.upstream(id)).await?;
    loop {
        let mut answer = Vec::with_capacity(LONGEST);
        socket.recv_buf(&mut answer).await?;
        let verdict = forward.judge(id, &answer);
        if verdict != Verdict::Foreign {
            answer.shrink_to_fit();
            return Ok((verdict, answer));
        }
    }
}

async fn ask_by_stream(forward: &Forward, resolver: SocketAddr) -> io::Result<(Verdict, Vec<u8>)> {
    let id = random::message_id()?;
    let mut stream = TcpStream::connect(resolver).await?;
    stream.write_all(&framed(&forward.upstream(id))).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    match forward.judge(id, &answer) {
        Verdict::Foreign => Err(io::Error::other("the resolver answered something else")),
        verdict => Ok((verdict, answer)),
    }
}

/// A message with the length in front that streams need.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let message = message.iter().copied().take(length.into());
    length.to_be_bytes().into_iter().chain(message).collect()
}
