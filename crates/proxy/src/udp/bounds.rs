//! How much flows and what is held for them may take, and what was dropped for it.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::seldom::Seldom;

/// Datagrams that one flow holds.
pub(super) const HELD_DATAGRAMS: usize = 16;
/// Bytes that one flow holds; the app's line counts all of them from the start.
pub(super) const HELD_BYTES: usize = 64 << 10;
/// Bytes held for all flows.
const HELD_BYTES_ALL: usize = 64 << 20;
/// Flows of one Machine, or of one address outside, on one thread.
pub(super) const FLOWS_PER_SOURCE: usize = 1024;

/// Sums over all threads.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    flows: AtomicUsize,
    held_bytes: AtomicUsize,
    dropped: AtomicUsize,
    /// Bounds what is said about dropping.
    pub(super) telling: Seldom,
}

impl Totals {
    /// Flows that live.
    pub(crate) fn flows(&self) -> usize {
        self.flows.load(Ordering::Relaxed)
    }

    /// Bytes that are held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// Datagrams dropped for want of room since the process began.
    pub(crate) fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Room for another flow where there may be `most`.
    pub(super) fn add_flow(&self, most: usize) -> bool {
        let room = self.flows.fetch_add(1, Ordering::Relaxed) < most;
        if !room {
            self.end_flow();
        }
        room
    }

    pub(super) fn end_flow(&self) {
        self.flows.fetch_sub(1, Ordering::Relaxed);
    }

    /// Room to hold `bytes` more.
    pub(super) fn hold(&self, bytes: usize) -> bool {
        let before = self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        let room = before.saturating_add(bytes) <= HELD_BYTES_ALL;
        if !room {
            self.let_go(bytes);
        }
        room
    }

    pub(super) fn let_go(&self, bytes: usize) {
        self.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What finds no room is not counted, so room that is given back can be used.
    #[test]
    fn counts_only_what_fits() {
        let totals = Totals::default();
        assert!(totals.add_flow(1) && !totals.add_flow(1));
        totals.end_flow();
        assert!(totals.add_flow(1));
        assert!(totals.hold(HELD_BYTES_ALL) && !totals.hold(1));
        totals.let_go(1);
        assert!(totals.hold(1));
        assert_eq!((totals.flows(), totals.held_bytes()), (1, HELD_BYTES_ALL));
    }
}
