//! How often something may happen, for each of many sources, with bounded memory.

use std::collections::HashMap;
use std::hash::Hash;

use crate::Micros;

const SECOND: Micros = 1_000_000;

/// One rate for each key. After a second of silence a key has a second's worth at once.
#[derive(Debug)]
pub struct Rates<K> {
    /// When each would be at rest if nothing more came (the generic cell rate algorithm).
    rests: HashMap<K, Micros>,
    most: usize,
    swept: Micros,
    /// All keys there is no room for count as one.
    others: Micros,
}

impl<K: Eq + Hash> Rates<K> {
    /// Keeps at most so many keys apart.
    pub fn new(most: usize) -> Self {
        Self {
            rests: HashMap::new(),
            most,
            swept: 0,
            others: 0,
        }
    }

    /// Counts one more of `key` at `now` if there may be; 0 `per_second` means any number.
    pub fn admit(&mut self, key: K, per_second: u32, now: Micros) -> bool {
        if per_second == 0 {
            return true;
        }
        self.make_room(&key, now);
        let room = self.rests.len() < self.most || self.rests.contains_key(&key);
        let rest = if room {
            self.rests.entry(key).or_default()
        } else {
            &mut self.others
        };
        let after = now.max(*rest) + SECOND / Micros::from(per_second);
        let admitted = after <= now + SECOND;
        if admitted {
            *rest = after;
        }
        admitted
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

    /// Keys without room share one rate; those that rest make room.
    #[test]
    fn memory_is_bounded() {
        let mut rates = Rates::new(2);
        let first: usize = (0..2).map(|key| admitted(&mut rates, key, 2_000_000)).sum();
        let rest: usize = (2..9).map(|key| admitted(&mut rates, key, 2_000_000)).sum();
        assert_eq!((first, rest, rates.rests.len()), (20, 10, 2));
        assert_eq!(admitted(&mut rates, 7, 9_000_000), 10);
        assert_eq!(rates.rests.len(), 1);
    }
}
