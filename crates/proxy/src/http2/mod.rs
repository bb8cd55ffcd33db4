//! HTTP/2 (RFC 9113), from clients and to Machines.
//!
//! The `h2` crate speaks the protocol of a connection. What a request and its response *mean* to the proxy is
//! known to the module [`http`](crate::http) alone: each stream of a client is served by a session of its own,
//! as if it were a connection of HTTP/1.1 with one request, and what a session sends to a Machine that speaks
//! HTTP/2 becomes a stream there. So routing, retries, limits, header policy and errors are the same code for
//! every pair of versions.
//!
//! Between the two there are two directions: an [`inflow`] reads a stream's body in the form of HTTP/1.1, an
//! [`outflow`] sends what has that form, and takes no more than the other side made room for. So what waits
//! here is bounded by the windows, in both directions.

use std::io;
use std::rc::Rc;

use bytes::Bytes;
use roost_http1::{RequestHead, Version};

use crate::client::ClientStream;
use crate::http::Manner;
use crate::route::Target;
use crate::worker::Worker;

mod answer;
mod call;
mod carried;
mod connection;
mod dial;
mod frames;
mod half;
mod headers;
mod hpack;
mod inflow;
mod machine;
mod meter;
mod outflow;
mod peers;
mod request;
mod room;
mod stream;
mod websocket;
mod wire;

pub(crate) use half::Half;
pub(crate) use machine::{MachineStream, absorbing};
pub(crate) use peers::{Patience, PeerError, Peers};

/// Tells a client that it goes on in HTTP/2 (RFC 7540, 3.2).
pub(crate) const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
/// What of the preface looks like a head of HTTP/1.
const PREFACE_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// How a connection came to HTTP/2.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// What was read of it already.
    first: Bytes,
    /// The request that was read before, in frames.
    planted: Bytes,
}

impl Opening {
    /// With `first`, which was read already.
    pub(crate) fn after(first: &[u8]) -> Self {
        Self {
            first: Bytes::copy_from_slice(first),
            planted: Bytes::new(),
        }
    }

    /// With `first`, which was read already, behind a request that has the form of `frames`.
    pub(crate) fn with(first: &[u8], frames: Vec<u8>) -> Self {
        Self {
            first: Bytes::copy_from_slice(first),
            planted: frames.into(),
        }
    }
}

/// Whether the first bytes of a connection are the beginning of HTTP/2.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(PREFACE_HEAD)
}

/// Serves a client connection until it ends.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    stream: impl ClientStream,
    target: Target,
    opening: Opening,
) {
    let manner = Manner::new(&worker, &target, Version::Http2);
    let shared = connection::Shared {
        worker,
        target,
        manner,
    };
    connection::serve(Rc::new(shared), stream, opening).await;
}

/// The frames that a request without a body has in HTTP/2, on stream 1.
pub(crate) fn request_frames(head: &RequestHead<'_, '_>) -> Vec<u8> {
    let mut block = hpack::Block::default();
    block.add(":method", head.method().as_bytes());
    block.add(":scheme", b"http");
    block.add(":authority", head.called_host().unwrap_or_default());
    block.add(":path", &path_of(head));
    for (name, value) in head.end_to_end() {
        block.add(name, value);
    }
    if head.takes_trailers() {
        block.add("te", b"trailers");
    }
    block.request_frames()
}

/// The path, which the absolute form may leave out before a query.
fn path_of(head: &RequestHead<'_, '_>) -> Vec<u8> {
    let slash: &[u8] = if head.path().starts_with('?') {
        b"/"
    } else {
        b""
    };
    [slash, head.path().as_bytes()].concat()
}

/// What was written cannot be said in HTTP/2. Nothing of it was sent, so something else still can be.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unsendable(&'static str);

impl Unsendable {
    /// Why a write failed, if it is for what was written.
    pub(crate) fn reason(error: &io::Error) -> Option<&'static str> {
        let inner = error.get_ref()?;
        inner.downcast_ref::<Self>().map(|error| error.0)
    }
}

impl From<Unsendable> for io::Error {
    fn from(error: Unsendable) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// An error of the library in the words of a stream of bytes.
fn broken(error: h2::Error) -> io::Error {
    let kind = match error.get_io() {
        Some(error) => error.kind(),
        None if error.is_remote() => io::ErrorKind::ConnectionReset,
        None => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error)
}
