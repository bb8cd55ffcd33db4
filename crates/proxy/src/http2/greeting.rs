//! The first bytes of a Machine: whether it speaks HTTP/2 at all.
//!
//! A program that does not answers something, or nothing, and the library would only say that a frame is
//! wrong, after requests were given to it.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// The bytes of a frame before its payload.
const HEADER: usize = 9;

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Silent,
    Greeted,
    Ended,
}

/// Tells whether a Machine greeted.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    state: Cell<State>,
    changed: Notify,
}

impl Greeting {
    /// Waits until it is known.
    pub(super) async fn wait(&self) -> bool {
        loop {
            match self.state.get() {
                State::Silent => self.changed.notified().await,
                State::Greeted => return true,
                State::Ended => return false,
            }
        }
    }

    /// The connection has ended.
    pub(super) fn end(&self) {
        self.set(State::Ended);
    }

    fn set(&self, state: State) {
        self.state.set(state);
        self.changed.notify_one();
    }
}

/// A connection to a Machine whose first bytes are looked at.
#[derive(Debug)]
pub(super) struct Greeted {
    stream: TcpStream,
    first: Vec<u8>,
    greeting: Rc<Greeting>,
}

impl Greeted {
    /// A connection on which nothing was read.
    pub(super) fn new(stream: TcpStream, greeting: Rc<Greeting>) -> Self {
        Self {
            stream,
            first: Vec::new(),
            greeting,
        }
    }

    /// Looks at what was read.
    fn look(&mut self, read: &[u8]) -> io::Result<()> {
        let missing = HEADER - self.first.len();
        let some = read.get(..missing.min(read.len())).unwrap_or_default();
        self.first.extend_from_slice(some);
        if self.first.len() < HEADER {
            return Ok(());
        }
        if !is_settings(&self.first) {
            return Err(io::Error::other("not the beginning of HTTP/2"));
        }
        self.greeting.set(State::Greeted);
        Ok(())
    }
}

/// The header of a SETTINGS frame that is no answer to one (RFC 9113, 3.4).
fn is_settings(header: &[u8]) -> bool {
    const SETTINGS: u8 = 4;
    const ACK: u8 = 1;
    matches!(header, [_, _, _, SETTINGS, flags, 0, 0, 0, 0] if flags & ACK == 0)
}

impl AsyncRead for Greeted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, out))?;
        if this.first.len() < HEADER {
            this.look(out.filled().get(before..).unwrap_or_default())?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
