//! Bytes that were read and not used yet.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The room a read finds at first. More than most messages, so that a read seldom fills it: a read
/// that leaves room tells that the socket is empty, and saves the next one.
const FIRST: usize = 8 * 1024;
/// The room a read finds when the one before filled it.
const BULK: usize = 128 * 1024;

/// A reusable buffer between a socket and a parser.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    used: usize,
    bulk: bool,
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
        if self.bulk && self.is_empty() {
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

    /// [`Self::fill`], as a poll.
    pub(crate) fn poll_fill(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.make_room();
        let read = pin!(reader.read_buf(&mut self.bytes)).poll(cx);
        if let Poll::Ready(Ok(_)) = read {
            self.bulk |= self.bytes.len() == self.bytes.capacity();
        }
        read
    }

    fn make_room(&mut self) {
        let wanted = if self.bulk { BULK } else { FIRST };
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
