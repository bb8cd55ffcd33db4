//! `Fly-Request-Id`: a ULID, a hyphen, and the region.

/// The length of the ULID in bytes.
pub const REQUEST_ID_LEN: usize = 26;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Makes ULIDs: 48 bits of time and 80 random bits. Two makers need different seeds.
#[derive(Debug, Clone)]
pub struct RequestIds {
    state: u64,
}

impl RequestIds {
    /// A maker that starts from `seed`, which should be random.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next id. `unix_ms` is the time in milliseconds since 1970.
    pub fn next_id(&mut self, unix_ms: u64) -> [u8; REQUEST_ID_LEN] {
        let random = (u128::from(self.random()) << 64) | u128::from(self.random());
        let mut bits = (u128::from(unix_ms) << 80) | (random >> 48);
        let mut id = [b'0'; REQUEST_ID_LEN];
        for slot in id.iter_mut().rev() {
            *slot = ALPHABET.get((bits & 31) as usize).copied().unwrap_or(b'0');
            bits >>= 5;
        }
        id
    }

    /// `SplitMix64`: enough to keep ids apart, which is all that is asked of them.
    const fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_differ_within_it() {
        let mut ids = RequestIds::new(7);
        let (first, second, later) = (ids.next_id(1), ids.next_id(1), ids.next_id(2));
        assert_ne!(first, second);
        assert!(later > first && later > second);
        assert_eq!(&first[..10], b"0000000001");
        assert_eq!(&ids.next_id((1 << 48) - 1)[..10], b"7ZZZZZZZZZ");
    }
}
