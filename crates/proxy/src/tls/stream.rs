//! A client's connection inside TLS, as the handlers see it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::names;
use super::prefixed::Prefixed;
use crate::client::{ClientStream, TlsFacts};
use crate::relay;
use crate::splice::Pipes;

/// After the handshake.
#[derive(Debug)]
pub(crate) struct Tls {
    // Both sides belong to one task, and neither keeps it borrowed beyond a poll.
    inner: RefCell<Box<TlsStream<Prefixed>>>,
}

/// One side of it. Which one is a matter of use.
#[derive(Debug)]
pub(crate) struct Half<'a>(&'a RefCell<Box<TlsStream<Prefixed>>>);

impl Tls {
    /// Its state is large, and would be moved about in the tasks that serve it.
    pub(super) fn new(stream: TlsStream<Prefixed>) -> Self {
        Self {
            inner: RefCell::new(Box::new(stream)),
        }
    }
}

impl Tls {
    /// Whether the client and the port agreed by ALPN on the protocol of this name.
    pub(super) fn speaks(&self, protocol: &str) -> bool {
        let inner = self.inner.borrow();
        let (_, session) = inner.get_ref();
        session.alpn_protocol() == Some(protocol.as_bytes())
    }
}

impl ClientStream for Tls {
    type Reader<'a> = Half<'a>;
    type Writer<'a> = Half<'a>;

    fn split(&mut self) -> (Half<'_>, Half<'_>) {
        (Half(&self.inner), Half(&self.inner))
    }

    fn socket(&mut self) -> &TcpStream {
        self.inner.get_mut().get_ref().0.socket()
    }

    async fn relay(&mut self, _: &Pipes, machine: &mut TcpStream) -> io::Result<()> {
        let (reader, writer) = self.split();
        relay::copied(reader, writer, machine).await
    }

    fn tls_facts(&self) -> Option<TlsFacts> {
        let inner = self.inner.borrow();
        let (_, session) = inner.get_ref();
        let cipher = session.negotiated_cipher_suite();
        Some(TlsFacts {
            version: names::version(session.protocol_version()?)?,
            cipher: cipher.and_then(|cipher| names::cipher(cipher.suite())),
            alpn: session.alpn_protocol().map(Into::into),
            name: session.server_name().map(Into::into),
        })
    }

    async fn close(mut self) {
        // What the socket does not take at once is not waited for.
        let once = std::future::poll_fn(|cx| {
            let _ = Pin::new(&mut **self.inner.get_mut()).poll_shutdown(cx);
            Poll::Ready(())
        });
        once.await;
    }
}

impl AsyncRead for Half<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Half<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_shutdown(cx)
    }
}

impl AsyncRead for Tls {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.inner.get_mut()).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Tls {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self.inner.get_mut()).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.inner.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.inner.get_mut()).poll_shutdown(cx)
    }
}
