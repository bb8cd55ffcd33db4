//! Room for request heads that are larger than most.
//!
//! A head may be long, and who sends it may be slow about it: with as many connections as there may be, heads of
//! full length would take more memory than there is. So only some may be large at a time, and no source has all
//! of these.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use roost_wire::Name;

use crate::sources::{Held, Sources};

/// A head of at most so many bytes is none of them.
pub(crate) const SMALL: usize = 8 * 1024;
/// The part of the room that one source may have.
const OF_A_SOURCE: usize = 2;

/// The large heads of all connections.
#[derive(Debug, Default)]
pub(crate) struct LargeHeads {
    sources: Arc<Sources>,
    taken: Arc<AtomicUsize>,
}

/// Room for one, until it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    _of_source: Held,
    taken: Arc<AtomicUsize>,
}

impl LargeHeads {
    /// Room for one more of a caller on a network, unless there are `most`.
    pub(crate) fn enter(
        &self,
        network: &Name,
        caller: IpAddr,
        outside: bool,
        most: usize,
    ) -> Option<Room> {
        let of_source = most.div_ceil(OF_A_SOURCE);
        let of_source = self.sources.enter(network, caller, outside, of_source)?;
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        let room = Room {
            _of_source: of_source,
            taken: self.taken.clone(),
        };
        (before < most).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source has half of the room, all have no more than there is, and who ends makes room.
    #[test]
    fn there_is_room_for_so_many() {
        let (heads, network) = (LargeHeads::default(), Name::from("1"));
        let enter = |last| heads.enter(&network, IpAddr::from([192, 0, 2, last]), true, 8);
        let mut held: Vec<_> = (0..5).filter_map(|_| enter(1)).collect();
        assert_eq!(held.len(), 4);
        held.extend((2..9).filter_map(enter));
        assert_eq!((held.len(), enter(9).is_some()), (8, false));
        held.pop();
        assert!(enter(1).is_none() && enter(9).is_some());
    }
}
