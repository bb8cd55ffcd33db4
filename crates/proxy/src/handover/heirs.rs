//! The way to the process that has taken over.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use roost_wire::Elder;
use tokio::sync::mpsc::UnboundedSender;

use crate::shared::lock;

/// Who decides instead of this process, if anybody. What is on its way to it is bounded by what it is about:
/// a line per unit, and two per waiter.
#[derive(Debug, Default)]
pub(crate) struct Heirs {
    decides: AtomicBool,
    way: Mutex<Option<UnboundedSender<Elder>>>,
}

impl Heirs {
    /// Whether another process decides, be it away or not.
    pub(crate) fn decides(&self) -> bool {
        self.decides.load(Ordering::Acquire)
    }

    /// Whether another process decides that is away.
    pub(super) fn is_lost(&self) -> bool {
        self.decides() && lock(&self.way).is_none()
    }

    /// From now on it is the one at the other end of `way`.
    pub(super) fn follow(&self, way: UnboundedSender<Elder>) {
        *lock(&self.way) = Some(way);
        self.decides.store(true, Ordering::Release);
    }

    /// The one at the other end of `way` has gone: those who wait wait for the next one.
    pub(super) fn lose(&self, way: &UnboundedSender<Elder>) {
        lock(&self.way).take_if(|known| known.same_channel(way));
    }

    /// It came to nothing: this process decides again.
    pub(super) fn take_back(&self) {
        *lock(&self.way) = None;
        self.decides.store(false, Ordering::Release);
    }

    /// Tells it something. Nothing is lost when it is away: the next one is told everything anew.
    pub(crate) fn tell(&self, line: Elder) {
        if let Some(way) = &*lock(&self.way) {
            drop(way.send(line));
        }
    }
}
