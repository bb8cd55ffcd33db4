//! Connections to Machines that speak HTTP/2, of one worker thread.
//!
//! Requests to a Machine share a connection as far as the Machine allows; those who come while one is opened
//! wait for it. A connection that carries nothing is closed after a few seconds, so that a Machine that is
//! put to sleep has none open.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use roost_http1::MAX_HEAD;
use roost_wire::Name;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::greeting::{Greeted, Greeting};
use super::machine::MachineStream;
use crate::route::{ConnectError, Slot};

/// How often the connections are looked through in the time that one may carry nothing.
const TICKS: u32 = 4;
/// Streams of a connection: clients that do not take their responses must not hold up the others on it.
const MAX_STREAMS: u32 = 128;
/// Bytes of one response that may be here and not with the client.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same, for all responses of a connection.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;
/// Bytes of one request that may be here and not with the Machine.
const SEND_BUFFER: usize = 64 * 1024;

/// The connections of one worker thread.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    inner: Rc<RefCell<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    by_machine: HashMap<Name, Vec<Peer>>,
    /// Those that are being opened.
    opening: HashMap<Place, Rc<Notify>>,
    sweeping: bool,
}

/// What a connection leads to. A Machine with a new configuration is another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    machine: Name,
    instance: Name,
    internal_port: u16,
}

#[derive(Debug)]
struct Peer {
    place: Place,
    connection: SendRequest<Bytes>,
    streams: Rc<Cell<usize>>,
    quiet_ticks: u32,
}

/// Counts a stream while it lives.
#[derive(Debug)]
pub(super) struct Busy(Rc<Cell<usize>>);

/// Why there is no connection.
pub(crate) enum PeerError {
    /// The Machine was not reached.
    Connect(ConnectError),
    /// It was, and does not speak HTTP/2.
    Handshake(String),
}

/// The bounds of a new connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// How long the Machine may take to greet.
    pub(crate) greeting: Duration,
    /// How long a connection is kept that carries nothing.
    pub(crate) rest: Duration,
}

impl Peers {
    /// Forgets the connections to a Machine; they close when what they carry has ended.
    pub(crate) fn purge(&self, machine: &str) {
        // Dropped outside: the last hold on a connection wakes its task.
        let gone = self.inner.borrow_mut().by_machine.remove(machine);
        drop(gone);
    }

    /// A place for one request to the Machine of `slot`, and whether its connection was there before.
    pub(crate) async fn stream(
        &self,
        slot: &Slot,
        patience: Patience,
    ) -> Result<(MachineStream, bool), PeerError> {
        let place = Place::of(slot);
        loop {
            if let Some(stream) = self.inner.borrow_mut().take(&place) {
                return Ok((stream, true));
            }
            let opening = self.inner.borrow().opening.get(&place).cloned();
            match opening {
                Some(opening) => opening.notified().await,
                None => break,
            }
        }
        let opening = Opening::begin(&self.inner, &place);
        let stream = slot.connect().await.map_err(PeerError::Connect)?;
        let connection = greet(stream, patience.greeting).await?;
        let streams = Rc::<Cell<usize>>::default();
        let busy = Busy::new(&streams);
        let peer = Peer {
            place,
            connection: connection.clone(),
            streams,
            quiet_ticks: 0,
        };
        self.keep(peer, patience.rest);
        drop(opening);
        Ok((MachineStream::new(connection, busy), false))
    }

    fn keep(&self, peer: Peer, rest: Duration) {
        let mut inner = self.inner.borrow_mut();
        let machine = peer.place.machine.clone();
        inner.by_machine.entry(machine).or_default().push(peer);
        if !std::mem::replace(&mut inner.sweeping, true) {
            tokio::task::spawn_local(sweep(Rc::downgrade(&self.inner), rest));
        }
    }
}

/// Begins HTTP/2 on a new connection, and waits until the Machine answers in it.
async fn greet(stream: TcpStream, patience: Duration) -> Result<SendRequest<Bytes>, PeerError> {
    let greeting = Rc::<Greeting>::default();
    let greeted = Greeted::new(stream, greeting.clone());
    let handshake = builder().handshake(greeted).await;
    let (connection, driver) = handshake.map_err(|error| failed(&error.to_string()))?;
    let ended = greeting.clone();
    tokio::task::spawn_local(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, "a connection to a Machine in HTTP/2");
        }
        ended.end();
    });
    match timeout(patience, greeting.wait()).await {
        Ok(true) => Ok(connection),
        Ok(false) => Err(failed("it answered in something else, or closed")),
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
        .max_header_list_size(MAX_HEAD as u32);
    builder
}

impl Inner {
    /// A stream on a connection that has room for one.
    fn take(&mut self, place: &Place) -> Option<MachineStream> {
        let peers = self.by_machine.get_mut(&place.machine)?;
        peers.retain_mut(|peer| peer.place == *place && peer.is_open());
        let peer = peers.iter().find(|peer| peer.has_room())?;
        let busy = Busy::new(&peer.streams);
        Some(MachineStream::new(peer.connection.clone(), busy))
    }

    /// Drops what carries nothing for too long; true when the sweeper may end.
    fn sweep(&mut self) -> bool {
        self.by_machine.retain(|_, peers| {
            peers.retain_mut(Peer::is_wanted);
            !peers.is_empty()
        });
        self.sweeping = !self.by_machine.is_empty();
        !self.sweeping
    }
}

impl Peer {
    /// Neither ended nor about to: who sends GOAWAY takes no more.
    fn is_open(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        !matches!(self.connection.poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    fn has_room(&self) -> bool {
        let most = self.connection.current_max_send_streams();
        self.streams.get() < most.min(MAX_STREAMS as usize)
    }

    fn is_wanted(&mut self) -> bool {
        self.quiet_ticks = match self.streams.get() {
            0 => self.quiet_ticks + 1,
            _ => 0,
        };
        self.quiet_ticks <= TICKS && self.is_open()
    }
}

impl Place {
    fn of(slot: &Slot) -> Self {
        Self {
            machine: slot.machine().clone(),
            instance: slot.instance().clone(),
            internal_port: slot.internal_port(),
        }
    }
}

impl Busy {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(count.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Somebody opens a connection; dropping it lets the others look again.
struct Opening {
    inner: Rc<RefCell<Inner>>,
    place: Place,
    done: Rc<Notify>,
}

impl Opening {
    fn begin(inner: &Rc<RefCell<Inner>>, place: &Place) -> Self {
        let done = Rc::<Notify>::default();
        let mut all = inner.borrow_mut();
        all.opening.insert(place.clone(), done.clone());
        Self {
            inner: inner.clone(),
            place: place.clone(),
            done,
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let mut inner = self.inner.borrow_mut();
        let opening = inner.opening.get(&self.place);
        if opening.is_some_and(|opening| Rc::ptr_eq(opening, &self.done)) {
            inner.opening.remove(&self.place);
        }
        self.done.notify_waiters();
    }
}

/// Closes what carries nothing, until there are no connections.
async fn sweep(inner: Weak<RefCell<Inner>>, rest: Duration) {
    loop {
        tokio::time::sleep((rest / TICKS).max(Duration::from_millis(1))).await;
        let Some(inner) = inner.upgrade() else { return };
        if inner.borrow_mut().sweep() {
            return;
        }
    }
}
