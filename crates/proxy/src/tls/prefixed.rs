//! A socket of which something was read before TLS began.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::buffer::Buffer;

/// Gives the bytes read before, then those of the socket.
#[derive(Debug)]
pub(crate) struct Prefixed {
    first: Buffer,
    socket: TcpStream,
}

impl Prefixed {
    /// `first` was read from `socket`.
    pub(super) const fn new(socket: TcpStream, first: Buffer) -> Self {
        Self { first, socket }
    }

    /// The socket.
    pub(super) const fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buffer);
        }
        let bytes = self.first.first(buffer.remaining() as u64);
        let count = bytes.len();
        buffer.put_slice(bytes);
        self.first.consume(count);
        if self.first.is_empty() {
            // Its memory is not needed again.
            self.first = Buffer::default();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
