//! How often something may happen, for each of many sources, with bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use crate::Micros;

const SECOND: Micros = 1_000_000;

/// One rate for each key. After a second of silence a key has a second's worth at once.
#[derive(Debug)]
pub struct Rates<K> {
    /// When each would be at rest if nothing more came (the generic cell rate algorithm).
    rests: HashMap<K, Micros>,
    most: usize,
    swept: Micros,
    /// Keys that there is no room for share these, each always the same one: a flood of keys then costs
    /// another one what it is unlucky enough to share, not all that there is.
    others: Vec<Micros>,
}

impl<K: Eq + Hash> Rates<K> {
    /// Keeps at most so many keys apart.
    pub fn new(most: usize) -> Self {
        Self {
            rests: HashMap::new(),
            most,
            swept: 0,
            others: Vec::new(),
        }
    }

    /// Counts one more of `key` at `now` if there may be; 0 `per_second` means any number.
    pub fn admit(&mut self, key: K, per_second: u32, now: Micros) -> bool {
        if per_second == 0 {
            return true;
        }
        self.make_room(&key, now);
        let Some(rest) = self.rest(key) else {
            return false;
        };
        let after = now.max(*rest) + SECOND / Micros::from(per_second);
        let admitted = after <= now + SECOND;
        if admitted {
            *rest = after;
        }
        admitted
    }

    fn rest(&mut self, key: K) -> Option<&mut Micros> {
        if self.rests.len() < self.most || self.rests.contains_key(&key) {
            return Some(self.rests.entry(key).or_default());
        }
        // The hasher is seeded, so nobody can choose whom to share with.
        let hash = self.rests.hasher().hash_one(&key);
        self.others.resize(self.most, 0);
        let at = hash.checked_rem(self.most as u64)?;
        self.others.get_mut(usize::try_from(at).ok()?)
    }

    /// Forgets those at rest when there is no room, at most once a second: a flood of keys must not cost
    /// a sweep each.
    fn make_room(&mut self, key: &K, now: Micros) {
        let full = self.rests.len() >= self.most && !self.rests.contains_key(key);
        if full && now >= self.swept + SECOND {
            self.swept = now;
            self.rests.retain(|_, rest| *rest > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(rates: &mut Rates<u32>, key: u32, now: Micros) -> usize {
        (0..50).filter(|_| rates.admit(key, 10, now)).count()
    }

    /// A second's worth at once, then as many as the time allows; others are not touched.
    #[test]
    fn each_key_has_its_rate() {
        let mut rates = Rates::new(4);
        assert_eq!(admitted(&mut rates, 1, 5), 10);
        assert_eq!(admitted(&mut rates, 1, 300_005), 3);
        assert_eq!(admitted(&mut rates, 2, 300_005), 10);
        assert_eq!(admitted(&mut rates, 1, 9_000_000), 10);
        assert!((0..100).all(|_| rates.admit(1, 0, 9_000_000)));
    }

    /// Keys without room share a bounded number of rates; those that rest make room.
    #[test]
    fn memory_is_bounded() {
        let mut rates = Rates::new(2);
        let first: usize = (0..2).map(|key| admitted(&mut rates, key, 2_000_000)).sum();
        let rest: usize = (2..99)
            .map(|key| admitted(&mut rates, key, 2_000_000))
            .sum();
        assert_eq!((first, rest, rates.rests.len()), (20, 20, 2));
        assert_eq!(admitted(&mut rates, 7, 9_000_000), 10);
        assert_eq!(rates.rests.len(), 1);
    }

    /// As many sources as there is room for do not take the rate of everybody else.
    #[test]
    fn a_flood_of_keys_spares_most() {
        let mut rates = Rates::new(1000);
        let flood = (0..1000).chain([5000]);
        assert!(
            flood
                .map(|key| admitted(&mut rates, key, 2_000_000))
                .all(|n| n == 10)
        );
        let spared = (6000..6020).filter(|key| admitted(&mut rates, *key, 2_000_000) == 10);
        assert!(spared.count() > 10);
    }
}
