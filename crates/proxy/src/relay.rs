//! Bytes from one TCP connection to another, both ways, until both ways have ended.
//!
//! An idle connection owns no buffer: reading goes into one buffer of the thread, and only what the
//! other side did not take at once is kept. A way that has moved much goes on inside the kernel
//! ([`crate::splice`]).

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;

use crate::client::send;
use crate::splice::{self, Pipes};

const SCRATCH: usize = 64 << 10;
/// From so many bytes on a way is bulk.
const BULK: u64 = 256 << 10;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// Relays both ways. A side's end of sending is passed on, the other way goes on. An error of either
/// side ends both; the caller resets them.
pub(crate) async fn spliced(
    pipes: &Pipes,
    client: &mut TcpStream,
    machine: &mut TcpStream,
) -> io::Result<()> {
    let (client_in, client_out) = client.split();
    let (machine_in, machine_out) = machine.split();
    let up = one_way(pipes, client_in, machine_out.as_ref());
    let down = one_way(pipes, machine_in, client_out.as_ref());
    tokio::try_join!(up, down).map(|_| ())
}

/// As [`spliced`], where bytes are not what is on the client's wire.
pub(crate) async fn copied(
    client_in: impl AsyncRead + Unpin,
    client_out: impl AsyncWrite + Unpin,
    machine: &mut TcpStream,
) -> io::Result<()> {
    let (machine_in, machine_out) = machine.split();
    let up = one_way_copied(client_in, machine_out);
    let down = one_way_copied(machine_in, client_out);
    tokio::try_join!(up, down).map(|_| ())
}

async fn one_way_copied(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    while copy_some(&mut from, &mut to).await? > 0 {}
    match to.shutdown().await {
        Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
        _ => Ok(()),
    }
}

/// Waits for bytes and moves them; gives how many there were (0 at the end). Owns no buffer while it
/// waits.
pub(crate) async fn copy_some(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<usize> {
    let (read, rest) = poll_fn(|context| poll_copy(from, to, context)).await?;
    send(to, &rest).await?;
    Ok(read)
}

/// As [`poll_pass`].
fn poll_copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    context: &mut Context<'_>,
) -> Poll<io::Result<(usize, Vec<u8>)>> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        std::task::ready!(Pin::new(from).poll_read(context, &mut buffer))?;
        let data = buffer.filled();
        let written = match Pin::new(to).poll_write(context, data) {
            _ if data.is_empty() => 0,
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        let rest = data.get(written..).unwrap_or_default().to_vec();
        Poll::Ready(Ok((data.len(), rest)))
    })
}

async fn one_way(pipes: &Pipes, mut from: ReadHalf<'_>, to: &TcpStream) -> io::Result<()> {
    let mut moved = 0;
    loop {
        let (read, rest) = poll_fn(|context| poll_pass(&mut from, to, context)).await?;
        if read == 0 {
            break;
        }
        write_all(to, &rest).await?;
        moved += read as u64;
        if moved >= BULK && splice::run(pipes, from.as_ref(), to).await? {
            break;
        }
    }
    match socket2::SockRef::from(to).shutdown(Shutdown::Write) {
        Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
        _ => Ok(()),
    }
}

/// Moves what has arrived; gives how much that was (0 at the end) and what of it is still to be written.
/// Reading this way, and not by readiness, spares a second read that finds nothing.
fn poll_pass(
    from: &mut ReadHalf<'_>,
    to: &TcpStream,
    context: &mut Context<'_>,
) -> Poll<io::Result<(usize, Vec<u8>)>> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        std::task::ready!(Pin::new(from).poll_read(context, &mut buffer))?;
        let data = buffer.filled();
        let written = if data.is_empty() {
            0
        } else {
            write_some(to, data)?
        };
        let rest = data.get(written..).unwrap_or_default().to_vec();
        Poll::Ready(Ok((data.len(), rest)))
    })
}

fn write_some(to: &TcpStream, data: &[u8]) -> io::Result<usize> {
    match to.try_write(data) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

async fn write_all(to: &TcpStream, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        to.ready(Interest::WRITABLE).await?;
        let written = write_some(to, data)?;
        data = data.get(written..).unwrap_or_default();
    }
    Ok(())
}
