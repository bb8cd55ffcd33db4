//! Opens a connection in HTTP/2 to a Machine, and does what it is there for until it ends.
//!
//! A program that does not speak HTTP/2 answers something, or nothing, and the library would only say that a
//! frame is wrong, after requests were given to it. So its first frame is waited for.

use std::cell::RefCell;
use std::fmt::Display;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection};
use roost_http1::MAX_HEAD;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep, timeout};

use super::carried::Carried;
use super::meter::Side;
use super::peers::{Peer, PeerError};
use super::wire::{Seen, Wire};
use crate::route::{Slot, Whose};

/// Streams of a connection: clients that do not take their responses must not hold up the others on it.
pub(super) const MAX_STREAMS: u32 = 128;
/// Bytes of one response that may be here and not with the client.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same, for all responses of a connection.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;
/// Bytes of one request that may be here and not with the Machine.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that clients gave up, of which more may be on the way: so many are remembered, for so long.
const MAX_GIVEN_UP: usize = 1024;
const GIVEN_UP: Duration = Duration::from_secs(30);
/// What the Machine may send in the life of a connection about streams that are no more. Clients who give
/// up many requests must not end those of the others.
const MAX_LATE: usize = 16 * 1024;
/// How long a Machine may take to read the last words on a connection that nobody uses.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Connects, begins HTTP/2, and waits until the Machine answers in it.
pub(super) async fn open(slot: &Slot, patience: Duration) -> Result<Peer, PeerError> {
    let stream = slot.connect().await.map_err(PeerError::Connect)?;
    let carried = Rc::<Carried>::default();
    let side = Side::Machine(Rc::downgrade(&carried));
    let wire = Wire::new(
        Rc::new(RefCell::new(stream)),
        side,
        Bytes::new(),
        Bytes::new(),
    );
    let seen = wire.seen();
    let handshake = builder().handshake(wire).await;
    let (requests, connection) = handshake.map_err(|error| failed(&error.to_string()))?;
    let (tell, told) = oneshot::channel();
    let driver = Driver {
        connection,
        whose: slot.whose(),
        seen: seen.clone(),
        carried: Rc::downgrade(&carried),
        greeted: Some(tell),
        timer: None,
    };
    tokio::task::spawn_local(driver.run());
    match timeout(patience, told).await {
        Ok(Ok(())) => Ok(Peer {
            connection: requests,
            carried,
            seen,
            quiet_ticks: 0,
        }),
        Ok(Err(_)) => Err(failed("it answered in something else, or closed")),
        Err(_) => Err(failed("it did not answer in time")),
    }
}

fn failed(reason: &str) -> PeerError {
    PeerError::Handshake(format!(
        "the app did not begin HTTP/2 without TLS, which `h2_backend` asks for: {reason}"
    ))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEAD as u32)
        .max_concurrent_reset_streams(MAX_GIVEN_UP)
        .reset_stream_duration(GIVEN_UP)
        .max_local_error_reset_streams(Some(MAX_LATE));
    builder
}

/// Does what a connection is there for.
struct Driver {
    connection: Connection<Wire<TcpStream>, Bytes>,
    whose: Whose,
    seen: Rc<Seen>,
    carried: Weak<Carried>,
    greeted: Option<oneshot::Sender<()>>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Driver {
    async fn run(mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    /// Ready when the connection has ended, or has to: for what the Machine sends, or because nobody is left
    /// who uses it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Poll::Ready(ended) = Pin::new(&mut self.connection).poll(cx) {
            match ended {
                Err(error) if error.is_library() => self.tell(&error),
                Err(error) => tracing::debug!(%error, "a connection to a Machine in HTTP/2"),
                Ok(()) => {}
            }
            return Poll::Ready(());
        }
        if let Some(reason) = self.seen.fault() {
            self.tell(&reason);
            return Poll::Ready(());
        }
        if self.seen.has_begun()
            && let Some(greeted) = self.greeted.take()
        {
            // It fails when nobody waits any more.
            let _ = greeted.send(());
        }
        self.poll_abandoned(cx)
    }

    /// Says in the app's log why requests break off, unless none was sent yet: then they say it.
    fn tell(&self, why: &dyn Display) {
        if self.greeted.is_none() {
            let message = format!(
                "the connection in HTTP/2, and all requests on it, ended for what the Machine sent: {why}"
            );
            self.whose.log("PU02", &message);
        }
    }

    /// Ready when nobody uses the connection and the Machine does not read its last words. The library wakes
    /// nobody for it while it cannot write, so a timer looks.
    fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.carried.strong_count() == 0 || self.seen.full_since().is_some() {
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep(LAST_WORDS)));
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
            if self.carried.strong_count() == 0 {
                return Poll::Ready(());
            }
        }
        self.timer = None;
        Poll::Pending
    }
}
