//! Buffers of connections that ended, for those that begin: a short connection then allocates none.

use std::cell::RefCell;

use crate::buffer::Buffer;

/// Sets kept by each thread.
const MAX_KEPT: usize = 64;
/// Larger buffers are not kept.
pub(super) const MAX_SIZE: usize = 16 * 1024;

thread_local! {
    static KEPT: RefCell<Vec<Buffers>> = const { RefCell::new(Vec::new()) };
}

/// The buffers of one client connection.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Bytes from the client.
    pub(super) input: Buffer,
    /// Bytes for the client.
    pub(super) output: Vec<u8>,
    /// The request's head as the Machine gets it, with its body if that is small.
    pub(super) request: Vec<u8>,
    /// Bytes from the Machine.
    pub(super) answer: Buffer,
}

/// Empty buffers.
pub(super) fn take() -> Buffers {
    KEPT.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Empties `buffers` and keeps them, unless they are large or enough are kept.
pub(super) fn give(mut buffers: Buffers) {
    for read in [&mut buffers.input, &mut buffers.answer] {
        read.clear();
        read.shrink();
    }
    buffers.output.clear();
    buffers.request.clear();
    let sizes = [
        buffers.input.capacity(),
        buffers.answer.capacity(),
        buffers.output.capacity(),
        buffers.request.capacity(),
    ];
    KEPT.with_borrow_mut(|kept| {
        let (some, fit) = (sizes != [0; 4], sizes.iter().all(|size| *size <= MAX_SIZE));
        if some && fit && kept.len() < MAX_KEPT {
            kept.push(buffers);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_one_connection_reaches_the_next() {
        let mut buffers = take();
        buffers.output.extend_from_slice(b"secret");
        buffers.request.extend_from_slice(b"secret");
        give(buffers);
        let next = take();
        assert!(next.output.is_empty() && next.request.is_empty());
        assert!(next.input.is_empty() && next.answer.is_empty());
        assert!(next.output.capacity() >= 6, "the memory was not kept");
    }

    #[test]
    fn large_buffers_are_not_kept() {
        let mut buffers = Buffers::default();
        buffers.output.reserve(MAX_SIZE + 1);
        give(buffers);
        assert!(take().output.capacity() <= MAX_SIZE);
    }
}
