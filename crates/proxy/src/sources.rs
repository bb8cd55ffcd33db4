//! How many connections each source has open, exact over all threads.
//!
//! There is an entry only for who has a connection, so the bound on connections bounds this too.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use roost_wire::Name;

use crate::shared::lock;
use crate::source::source_of;

/// Locks, so that workers seldom wait for each other.
const SHARDS: usize = 64;

/// One source: its network, and what its addresses there have in common.
type Key = (Name, IpAddr);

/// The connections of all sources.
#[derive(Debug)]
pub(crate) struct Sources {
    /// Which shard a source is in is nobody's choice but the process's.
    hasher: RandomState,
    shards: Box<[Mutex<HashMap<Key, NonZeroUsize>>]>,
    refused: AtomicUsize,
}

/// One connection of a source, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    sources: Arc<Sources>,
    key: Key,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            refused: AtomicUsize::new(0),
        }
    }
}

impl Sources {
    /// Counts one more connection, unless the source has `most`.
    pub(crate) fn enter(
        self: &Arc<Self>,
        network: &Name,
        client: IpAddr,
        outside: bool,
        most: usize,
    ) -> Option<Held> {
        let key = (network.clone(), source_of(client, outside));
        let mut shard = lock(self.shard(&key)?);
        let has = shard.get(&key).map_or(0, |count| count.get());
        if has >= most {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        shard.insert(key.clone(), NonZeroUsize::MIN.saturating_add(has));
        drop(shard);
        let sources = self.clone();
        Some(Held { sources, key })
    }

    /// How many were not let in since the process began.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    fn leave(&self, key: &Key) {
        let Some(shard) = self.shard(key) else {
            return;
        };
        if let Entry::Occupied(mut count) = lock(shard).entry(key.clone()) {
            match NonZeroUsize::new(count.get().get() - 1) {
                Some(fewer) => drop(count.insert(fewer)),
                None => drop(count.remove()),
            }
        }
    }

    /// Always there.
    fn shard(&self, key: &Key) -> Option<&Mutex<HashMap<Key, NonZeroUsize>>> {
        let most = self.shards.len() as u64;
        let at = usize::try_from(self.hasher.hash_one(key).checked_rem(most)?).ok()?;
        self.shards.get(at)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sources.leave(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many at a time, whoever counts; others and other networks are not touched, and nothing is kept of
    /// who left.
    #[test]
    fn a_source_has_so_many() {
        let sources = Arc::new(Sources::default());
        let (one, two) = (Name::from("1"), Name::from("2"));
        let (first, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let enter = |network, client| sources.enter(network, client, true, 2);
        let held = [enter(&one, first), enter(&one, first)];
        assert!(held.iter().all(Option::is_some) && enter(&one, first).is_none());
        assert!(enter(&two, first).is_some() && enter(&one, other).is_some());
        assert_eq!(sources.refused(), 1);
        drop(held);
        assert!(enter(&one, first).is_some());
        assert!(sources.shards.iter().all(|shard| lock(shard).is_empty()));
    }

    /// Many threads together let in exactly as many.
    #[test]
    fn is_exact_over_threads() {
        let sources = Arc::new(Sources::default());
        let (network, ip) = (Name::from("1"), IpAddr::from([192, 0, 2, 1]));
        let enter = || sources.enter(&network, ip, true, 100);
        let all = || (0..50).filter_map(|_| enter()).collect::<Vec<_>>();
        let held: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(all)).collect();
            threads
                .into_iter()
                .flat_map(|one| one.join().unwrap())
                .collect()
        });
        assert_eq!((held.len(), sources.refused()), (100, 300));
    }
}
