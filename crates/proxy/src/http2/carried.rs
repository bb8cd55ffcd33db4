//! What a connection to a Machine carries.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// Heads about one request that came and that nobody has read: interim ones and the final one.
const MAX_HEADS: usize = 16;

/// The streams of one connection.
#[derive(Debug, Default)]
pub(super) struct Carried {
    count: Cell<usize>,
    /// Of those that were begun, how many heads have come that were not read.
    heads: RefCell<HashMap<u32, usize>>,
}

/// One stream, counted while it lives.
#[derive(Debug)]
pub(super) struct Busy {
    carried: Rc<Carried>,
    stream: Option<u32>,
}

impl Carried {
    /// How many streams there are.
    pub(super) fn count(&self) -> usize {
        self.count.get()
    }

    /// Notes that a head has come on a stream; false when it is one too many. Heads on streams that nobody
    /// has any more are dropped by the library.
    pub(super) fn admits_head(&self, stream: u32) -> bool {
        let mut heads = self.heads.borrow_mut();
        let unread = heads.get_mut(&stream);
        unread.is_none_or(|unread| {
            *unread += 1;
            *unread <= MAX_HEADS
        })
    }
}

impl Busy {
    /// One more stream, which is not begun.
    pub(super) fn new(carried: &Rc<Carried>) -> Self {
        carried.count.set(carried.count() + 1);
        Self {
            carried: carried.clone(),
            stream: None,
        }
    }

    /// Its request was sent.
    pub(super) fn begin(&mut self, stream: u32) {
        self.carried.heads.borrow_mut().insert(stream, 0);
        self.stream = Some(stream);
    }

    /// One of its heads was read.
    pub(super) fn read_head(&self) {
        let mut heads = self.carried.heads.borrow_mut();
        if let Some(unread) = self.stream.and_then(|stream| heads.get_mut(&stream)) {
            *unread = unread.saturating_sub(1);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(stream) = self.stream {
            self.carried.heads.borrow_mut().remove(&stream);
        }
        self.carried
            .count
            .set(self.carried.count().saturating_sub(1));
    }
}
