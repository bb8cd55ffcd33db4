//! How much flows and what is held for them may take, and what was dropped for it.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::budget::Budget;

/// The longest datagram that IPv4 can carry to a Machine: RFC 791 and 768, 65,535 less 20 and 8. IPv6 brings up
/// to 20 more.
pub(super) const LONGEST: usize = 65_507;
/// Datagrams that one flow holds.
pub(super) const HELD_DATAGRAMS: usize = 16;
/// Bytes that one flow holds; the app's line counts all of them from the start.
pub(super) const HELD_BYTES: usize = 64 << 10;
/// Bytes held for all flows.
const HELD_BYTES_ALL: usize = 64 << 20;
/// Flows of one source on one thread.
pub(super) const FLOWS_PER_SOURCE: usize = 1024;

/// Sums over all threads.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    flows: AtomicUsize,
    /// Those of them that came over public networks.
    outside: AtomicUsize,
    held_bytes: AtomicUsize,
    dropped: AtomicUsize,
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

    /// Room for another flow, where there may be so many client connections. Callers from outside, who may forge
    /// their addresses, leave half of it to those inside, and half of what outside has to connections.
    pub(super) fn add_flow(&self, public: bool, connections: usize) -> bool {
        let most = Budget::flows(connections);
        let all = self.flows.fetch_add(1, Ordering::Relaxed);
        let outside = self.outside.fetch_add(public.into(), Ordering::Relaxed);
        let room = all < most && (!public || outside < Budget::from_outside(most));
        if !room {
            self.end_flow(public);
        }
        room
    }

    pub(super) fn end_flow(&self, public: bool) {
        self.flows.fetch_sub(1, Ordering::Relaxed);
        self.outside.fetch_sub(public.into(), Ordering::Relaxed);
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
        assert!(totals.add_flow(false, 2) && !totals.add_flow(false, 2));
        totals.end_flow(false);
        assert!(totals.add_flow(false, 2));
        assert!(totals.hold(HELD_BYTES_ALL) && !totals.hold(1));
        totals.let_go(1);
        assert!(totals.hold(1));
        assert_eq!((totals.flows(), totals.held_bytes()), (1, HELD_BYTES_ALL));
    }

    /// Flows from outside take half of the room, those inside what is left.
    #[test]
    fn outside_leaves_room_inside() {
        let totals = Totals::default();
        let count = |public| {
            let begun = (0..20).filter(|_| totals.add_flow(public, 16));
            begun.count()
        };
        assert_eq!((count(true), count(false)), (4, 4));
        totals.end_flow(true);
        assert_eq!((count(true), count(false)), (1, 0));
        totals.end_flow(false);
        assert_eq!((count(true), count(false)), (0, 1));
    }
}
