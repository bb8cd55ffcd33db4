//! The first datagrams of a flow, held until a Machine takes them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::shared::Shared;
use crate::udp::bounds::{HELD_BYTES, HELD_DATAGRAMS};

/// Held datagrams, in order. Later ones are dropped where there is no room: a caller that gets no answer
/// asks again, and the first ones are what a conversation begins with.
pub(super) struct Held {
    shared: Arc<Shared>,
    datagrams: VecDeque<Box<[u8]>>,
    bytes: usize,
}

impl Held {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: shared.clone(),
            datagrams: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Holds a copy of a datagram; `false` when there is no room.
    pub(super) fn push(&mut self, datagram: &[u8]) -> bool {
        let full = self.datagrams.len() >= HELD_DATAGRAMS;
        if full || self.bytes + datagram.len() > HELD_BYTES {
            return false;
        }
        if !self.shared.udp.hold(datagram.len()) {
            return false;
        }
        self.bytes += datagram.len();
        self.datagrams.push_back(datagram.into());
        true
    }

    /// The next one to be sent.
    pub(super) fn first(&self) -> Option<&[u8]> {
        self.datagrams.front().map(AsRef::as_ref)
    }

    /// The first one was taken, or is given up.
    pub(super) fn pop(&mut self) -> bool {
        let Some(datagram) = self.datagrams.pop_front() else {
            return false;
        };
        self.bytes -= datagram.len();
        self.shared.udp.let_go(datagram.len());
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        while self.pop() {
            self.shared.udp.drop_one();
        }
    }
}
