//! Connections to Machines that speak HTTP/2, of one worker thread.
//!
//! Requests to a Machine share a connection as far as the Machine allows; those who come while one is opened
//! wait for it, and share its failure. A connection that carries nothing is closed after a few seconds, so that
//! a Machine that is put to sleep has none open, and at once when it takes nothing either.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use roost_wire::Name;
use tokio::sync::Notify;

use super::carried::{Busy, Carried};
use super::dial::{self, MAX_STREAMS};
use super::machine::MachineStream;
use super::wire::Seen;
use crate::route::{ConnectError, Slot};

/// How often the connections are looked through in the time that one may carry nothing.
const TICKS: u32 = 4;
/// Connections to one port of a Machine. Only where a Machine takes few requests on each there are several.
const MAX_PER_PLACE: usize = 256;
/// Connections of one thread beyond which none rests.
const MAX_IN_ALL: usize = 2048;
/// A connection on which nothing could be written for so long gets no new requests.
const STUCK: Duration = Duration::from_secs(5);

/// The connections of one worker thread.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    inner: Rc<RefCell<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    by_place: HashMap<Place, Vec<Peer>>,
    /// Those that are being opened.
    opening: HashMap<Place, Rc<Attempt>>,
    sweeping: bool,
}

/// What a connection leads to. A Machine with a new configuration is another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    machine: Name,
    instance: Name,
    internal_port: u16,
}

/// A connection that is being opened: what others wait for.
#[derive(Debug, Default)]
struct Attempt {
    done: Notify,
    failed: OnceCell<PeerError>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) connection: SendRequest<Bytes>,
    pub(super) carried: Rc<Carried>,
    pub(super) seen: Rc<Seen>,
    pub(super) quiet_ticks: u32,
}

/// Why there is no connection.
#[derive(Debug, Clone)]
pub(crate) enum PeerError {
    /// The Machine was not reached.
    Connect(ConnectError),
    /// It was, and does not speak HTTP/2.
    Handshake(String),
    /// It has as many as it may have, and takes no more requests on them.
    Crowded(String),
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
        let mut inner = self.inner.borrow_mut();
        inner.by_place.retain(|place, _| *place.machine != *machine);
    }

    /// A place for one request to the Machine of `slot`, and whether its connection was there before.
    pub(crate) async fn stream(
        &self,
        slot: &Slot,
        patience: Patience,
    ) -> Result<(MachineStream, bool), PeerError> {
        let place = Place::of(slot);
        loop {
            if let Some(stream) = self.inner.borrow_mut().take(&place)? {
                return Ok((stream, true));
            }
            let attempt = self.inner.borrow().opening.get(&place).cloned();
            let Some(attempt) = attempt else { break };
            attempt.done.notified().await;
            if let Some(error) = attempt.failed.get() {
                return Err(error.clone());
            }
        }
        let opening = Opening::begin(&self.inner, &place);
        let peer = opening.outcome(dial::open(slot, patience.greeting).await)?;
        let stream = peer.stream();
        self.keep(place, peer, patience.rest);
        drop(opening);
        Ok((stream, false))
    }

    fn keep(&self, place: Place, peer: Peer, rest: Duration) {
        let mut inner = self.inner.borrow_mut();
        inner.make_room();
        inner.by_place.entry(place).or_default().push(peer);
        if !std::mem::replace(&mut inner.sweeping, true) {
            tokio::task::spawn_local(sweep(Rc::downgrade(&self.inner), rest));
        }
    }
}

impl Inner {
    /// A stream on a connection that has room for one.
    fn take(&mut self, place: &Place) -> Result<Option<MachineStream>, PeerError> {
        let Some(peers) = self.by_place.get_mut(place) else {
            return Ok(None);
        };
        peers.retain_mut(|peer| peer.is_open() && (peer.is_busy() || peer.has_room()));
        let free = peers.iter().find(|peer| peer.has_room());
        if free.is_none() && peers.len() >= MAX_PER_PLACE {
            return Err(place.crowded());
        }
        Ok(free.map(Peer::stream))
    }

    /// Drops those that carry nothing when there are too many.
    fn make_room(&mut self) {
        let count: usize = self.by_place.values().map(Vec::len).sum();
        if count >= MAX_IN_ALL {
            self.retain(|peer| peer.is_busy());
        }
    }

    /// Drops what carries nothing for too long; true when the sweeper may end.
    fn sweep(&mut self) -> bool {
        self.retain(Peer::is_wanted);
        self.sweeping = !self.by_place.is_empty();
        !self.sweeping
    }

    fn retain(&mut self, mut wanted: impl FnMut(&mut Peer) -> bool) {
        self.by_place.retain(|_, peers| {
            peers.retain_mut(&mut wanted);
            !peers.is_empty()
        });
    }
}

impl Peer {
    fn stream(&self) -> MachineStream {
        MachineStream::new(self.connection.clone(), Busy::new(&self.carried))
    }

    /// Neither ended nor about to: who sends GOAWAY takes no more, and who reads nothing neither.
    fn is_open(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let full = self.seen.full_since();
        let stuck = full.is_some_and(|since| since.elapsed() > STUCK);
        !stuck && !matches!(self.connection.poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    fn is_busy(&self) -> bool {
        self.carried.count() > 0
    }

    fn has_room(&self) -> bool {
        let most = self.connection.current_max_send_streams();
        self.carried.count() < most.min(MAX_STREAMS as usize)
    }

    fn is_wanted(&mut self) -> bool {
        self.quiet_ticks = if self.is_busy() {
            0
        } else {
            self.quiet_ticks + 1
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

    fn crowded(&self) -> PeerError {
        PeerError::Crowded(format!(
            "machine {} takes no more requests on {MAX_PER_PLACE} connections in HTTP/2 to its port {}; does \
             its server allow too few streams at once (SETTINGS_MAX_CONCURRENT_STREAMS)?",
            self.machine, self.internal_port
        ))
    }
}

/// Somebody opens a connection; dropping it lets the others look again.
struct Opening {
    inner: Rc<RefCell<Inner>>,
    place: Place,
    attempt: Rc<Attempt>,
}

impl Opening {
    fn begin(inner: &Rc<RefCell<Inner>>, place: &Place) -> Self {
        let attempt = Rc::<Attempt>::default();
        let mut all = inner.borrow_mut();
        all.opening.insert(place.clone(), attempt.clone());
        Self {
            inner: inner.clone(),
            place: place.clone(),
            attempt,
        }
    }

    /// Has those who wait share a failure: trying one after the other each would wait as long again.
    fn outcome(&self, peer: Result<Peer, PeerError>) -> Result<Peer, PeerError> {
        if let Err(error) = &peer {
            self.attempt.failed.get_or_init(|| error.clone());
        }
        peer
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.inner.borrow_mut().opening.remove(&self.place);
        self.attempt.done.notify_waiters();
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
