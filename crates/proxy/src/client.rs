//! A client's connection as the handlers see it: plain, or inside TLS.
//!
//! Handlers are generic over it, so that each kind of connection has code of its own and a plain one pays
//! nothing for the others.

use std::io;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::relay;
use crate::splice::Pipes;

/// What a client and the proxy agreed on in a TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFacts {
    /// As OpenSSL names it.
    pub(crate) version: &'static str,
    /// The cipher suite as OpenSSL names it.
    pub(crate) cipher: Option<&'static str>,
    /// The protocol by ALPN.
    pub(crate) alpn: Option<Box<[u8]>>,
    /// The server name that the client called.
    pub(crate) name: Option<Box<str>>,
}

/// A connection that a client opened.
pub(crate) trait ClientStream: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Its reading side.
    type Reader<'a>: AsyncRead + Unpin;
    /// Its writing side. What was written need not have left before a flush: use [`send`].
    type Writer<'a>: AsyncWrite + Unpin;

    /// Both sides, to be used by one task.
    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>);

    /// The socket below.
    fn socket(&mut self) -> &TcpStream;

    /// Moves bytes between it and a Machine, see [`relay`].
    async fn relay(&mut self, pipes: &Pipes, machine: &mut TcpStream) -> io::Result<()>;

    /// How it is encrypted; `None` when it is not.
    fn tls_facts(&self) -> Option<TlsFacts> {
        None
    }

    /// Closes it after everything was said, as its protocol asks for. Waits for nobody.
    async fn close(self);
}

impl ClientStream for TcpStream {
    type Reader<'a> = ReadHalf<'a>;
    type Writer<'a> = WriteHalf<'a>;

    fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        Self::split(self)
    }

    fn socket(&mut self) -> &TcpStream {
        self
    }

    async fn relay(&mut self, pipes: &Pipes, machine: &mut TcpStream) -> io::Result<()> {
        relay::spliced(pipes, self, machine).await
    }

    async fn close(self) {}
}

/// Writes all of `bytes` and sees them off.
pub(crate) async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

/// Closes with a RST, as a closed port or a dead peer would.
pub(crate) fn reset(mut stream: impl ClientStream) {
    if let Err(error) = SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "linger");
    }
    drop(stream);
}
