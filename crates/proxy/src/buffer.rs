//! Bytes that were read and not used yet.

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The room a read finds at first. More than most messages, so that a read seldom fills it: a read
/// that leaves room tells that the socket is empty, and saves the next one.
const FIRST: usize = 8 * 1024;
/// The room a read finds when the one before filled it.
const BULK: usize = 128 * 1024;
/// Buffers of one thread that may have that much; others stay small. What they hold is where its reader is
/// slow or gone, and there may be as many of these as there are connections.
const MAX_BULK: usize = 512;

thread_local! {
    static IN_BULK: Cell<usize> = const { Cell::new(0) };
}

/// One of them, counted while it lives; it never leaves its thread.
#[derive(Debug)]
struct Bulk(PhantomData<*const ()>);

impl Bulk {
    fn take() -> Option<Self> {
        let taken = IN_BULK.get();
        (taken < MAX_BULK).then(|| {
            IN_BULK.set(taken + 1);
            Self(PhantomData)
        })
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        IN_BULK.set(IN_BULK.get() - 1);
    }
}

/// A reusable buffer between a socket and a parser.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    used: usize,
    bulk: Option<Bulk>,
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }
}

impl Buffer {
    /// What was read and not consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        self.bytes.get(self.used..).unwrap_or_default()
    }

    /// The first bytes of [`Self::unread`], at most `count`.
    pub(crate) fn first(&self, count: u64) -> &[u8] {
        let unread = self.unread();
        let count = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .min(unread.len());
        unread.get(..count).unwrap_or_default()
    }

    /// How many bytes are unread.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.used
    }

    /// How much memory it holds.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Nothing is unread.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the first `count` unread bytes out.
    pub(crate) fn consume(&mut self, count: usize) {
        self.used = (self.used + count).min(self.bytes.len());
        if self.used == self.bytes.len() {
            self.clear();
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.used = 0;
    }

    /// Gives back memory that only bulk needed. For a connection that goes idle.
    pub(crate) fn shrink(&mut self) {
        let large = self.bulk.is_some() || self.bytes.capacity() > 2 * FIRST;
        if large && self.is_empty() {
            *self = Self::default();
        }
    }

    /// Reads once, behind what is unread. 0 is the end of the stream. May be dropped and called again.
    pub(crate) async fn fill(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(reader, cx)).await
    }

    /// [`Self::fill`], which then leaves at most `most` bytes unread. There have to be fewer before.
    pub(crate) async fn fill_to(
        &mut self,
        most: usize,
        reader: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<usize> {
        let room = most.saturating_sub(self.len());
        std::future::poll_fn(|cx| self.poll_fill_by(room, reader, cx)).await
    }

    /// [`Self::fill`], as a poll.
    pub(crate) fn poll_fill(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.poll_fill_by(usize::MAX, reader, cx)
    }

    /// Reads at most `count` bytes.
    fn poll_fill_by(
        &mut self,
        count: usize,
        reader: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.make_room();
        let mut room = (&mut self.bytes).limit(count);
        let read = pin!(reader.read_buf(&mut room)).poll(cx);
        let fills = matches!(read, Poll::Ready(Ok(_))) && self.bytes.len() == self.bytes.capacity();
        if fills && self.bulk.is_none() {
            self.bulk = Bulk::take();
        }
        read
    }

    fn make_room(&mut self) {
        let wanted = if self.bulk.is_some() { BULK } else { FIRST };
        if self.bytes.capacity() - self.bytes.len() >= wanted / 2 {
            return;
        }
        self.bytes.drain(..self.used);
        self.used = 0;
        if self.bytes.capacity() - self.bytes.len() < wanted / 2 {
            self.bytes.reserve_exact(wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Reads from a source without end until the buffer has its room for bulk, or has not got it.
    fn filled() -> Buffer {
        let (mut buffer, mut cx) = (Buffer::default(), Context::from_waker(Waker::noop()));
        for _ in 0..3 {
            let read = buffer.poll_fill(&mut tokio::io::repeat(b'x'), &mut cx);
            assert!(matches!(read, Poll::Ready(Ok(1..))));
            buffer.clear();
        }
        buffer
    }

    /// So many buffers are large at a time, and one that is given back makes room for another.
    #[test]
    fn few_are_large() {
        let mut all: Vec<_> = (0..=MAX_BULK).map(|_| filled()).collect();
        let large = |buffer: &Buffer| buffer.capacity() >= BULK;
        assert_eq!(all.iter().filter(|one| large(one)).count(), MAX_BULK);
        assert!(!all.last().is_some_and(large));
        all.clear();
        assert!(large(&filled()));
    }
}
