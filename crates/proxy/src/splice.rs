//! Bulk bytes from socket to socket inside the kernel, through a pipe.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// How much a pipe may hold; the kernel's default is a sixteenth of it.
const PIPE: usize = 1 << 20;

/// Moves bytes until `from` ends: `true`. `false` at once when no pipe is to be had.
pub(crate) async fn run(from: &TcpStream, to: &TcpStream) -> io::Result<bool> {
    let Ok((out, into)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) else {
        return Ok(false);
    };
    // A smaller pipe works as well.
    let room = fcntl_setpipe_size(&into, PIPE).unwrap_or(64 << 10);
    loop {
        let filled = fill(from, &into, room).await?;
        if filled == 0 {
            return Ok(true);
        }
        empty(&out, to, filled).await?;
    }
}

async fn fill(from: &TcpStream, into: &OwnedFd, room: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    from.async_io(Interest::READABLE, || {
        Ok(splice(from, None, into, None, room, flags)?)
    })
    .await
}

async fn empty(out: &OwnedFd, to: &TcpStream, mut filled: usize) -> io::Result<()> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    while filled > 0 {
        let moved = to.async_io(Interest::WRITABLE, || {
            Ok(splice(out, None, to, None, filled, flags)?)
        });
        filled = filled.saturating_sub(moved.await?.max(1));
    }
    Ok(())
}
