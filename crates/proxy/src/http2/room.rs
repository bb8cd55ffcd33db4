//! What the streams of a connection take of the process.
//!
//! A connection was counted when it was accepted, with the descriptor of one connection to a Machine; a
//! stream beside others takes another one, and memory. It has its room until it is served and nothing of its
//! response waits for the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::dispatch::Counted;
use crate::route::Target;
use crate::shared::Shared;
use crate::sources::Held;

/// Gives the streams of one connection their room.
#[derive(Debug)]
pub(super) struct Rooms {
    shared: Arc<Shared>,
    taken: Arc<AtomicUsize>,
}

/// The room of one stream.
#[derive(Debug)]
pub(super) struct Room {
    taken: Arc<AtomicUsize>,
    _beside: Option<Beside>,
}

/// Counts a stream that is not the only one of its connection.
#[derive(Debug)]
struct Beside {
    shared: Arc<Shared>,
    _counted: Counted,
    _of_source: Held,
}

/// Bytes of a response that keep their stream's room until they have left.
struct Kept {
    data: Vec<u8>,
    _room: Arc<Room>,
}

impl Rooms {
    /// For one connection.
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: shared.clone(),
            taken: Arc::default(),
        }
    }

    /// Room for another stream of the connection to `target`, if there is any. The only one always has it.
    pub(super) fn take(&self, target: &Target) -> Option<Arc<Room>> {
        let beside = match self.taken.load(Ordering::Relaxed) {
            0 => None,
            _ => Some(Beside::new(&self.shared, target)?),
        };
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(Arc::new(Room {
            taken: self.taken.clone(),
            _beside: beside,
        }))
    }
}

impl Room {
    /// Bytes of the stream's response.
    pub(super) fn keep_for(self: &Arc<Self>, data: Vec<u8>) -> Bytes {
        let room = self.clone();
        Bytes::from_owner(Kept { data, _room: room })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Beside {
    fn new(shared: &Arc<Shared>, target: &Target) -> Option<Self> {
        if !shared.has_room_for_stream(target.public) {
            return None;
        }
        let of_source = shared.streaming.enter(
            &target.network,
            target.peer,
            target.public,
            shared.most_streams_of_a_source(),
        )?;
        shared.streams.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            shared: shared.clone(),
            _counted: Counted::new(shared, target.public),
            _of_source: of_source,
        })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.shared.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}
