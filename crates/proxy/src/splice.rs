//! Bulk bytes from socket to socket inside the kernel, through a pipe.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// How much a pipe may hold; the kernel's default is a sixteenth of it.
const PIPE: usize = 1 << 20;

/// How many pipes may be opened yet. They have a bound of their own, so that bulk never takes the
/// descriptors of new connections.
#[derive(Debug)]
pub(crate) struct Pipes {
    left: AtomicUsize,
}

/// One of the pipes; dropping it gives it back.
struct Taken<'a>(&'a Pipes);

impl Pipes {
    /// At most so many at once.
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            left: AtomicUsize::new(most),
        }
    }

    fn take(&self) -> Option<Taken<'_>> {
        let one_less = |left: usize| left.checked_sub(1);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        taken.ok().map(|_| Taken(self))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, Ordering::Relaxed);
    }
}

/// Moves bytes until `from` ends: `true`. `false` at once when no pipe is to be had.
pub(crate) async fn run(pipes: &Pipes, from: &TcpStream, to: &TcpStream) -> io::Result<bool> {
    let Some(_taken) = pipes.take() else {
        return Ok(false);
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    /// No more than the bound are out at once, and one that is given back can be taken again.
    #[test]
    fn pipes_are_bounded() {
        let pipes = Pipes::new(2);
        let (one, two) = (pipes.take(), pipes.take());
        assert!(one.is_some() && two.is_some() && pipes.take().is_none());
        drop(one);
        assert!(pipes.take().is_some());
    }
}
