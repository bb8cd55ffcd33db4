//! Randomness: unguessable for message ids, quick for the order of answers.

use std::cell::Cell;
use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// What an odd constant of splitmix64 adds at each step.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

thread_local! {
    static STATE: Cell<u64> = Cell::new(bytes().map_or(STEP, u64::from_ne_bytes));
}

/// A message id that nobody can foresee. Fails only when the kernel has no randomness.
pub(super) fn message_id() -> io::Result<u16> {
    bytes().map(u16::from_ne_bytes)
}

/// The next number of a quick sequence (splitmix64) that differs from thread to thread.
pub(super) fn order() -> u64 {
    STATE.with(|state| {
        let next = state.get().wrapping_add(STEP);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty())?;
    if filled == N {
        Ok(bytes)
    } else {
        Err(io::Error::other("the kernel gave too few random bytes"))
    }
}
