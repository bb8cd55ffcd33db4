//! A connection below HTTP/2: what was read before, what is put in, and what is counted.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use std::{io, iter};

use bytes::{Buf, Bytes};
use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::meter::{Meter, Side};

/// Bytes read at once while something is to be put in.
const SCRATCH: usize = 512;

/// The stream that both the library and its owner have: the owner ends it.
pub(super) type Lent<S> = Rc<RefCell<S>>;

/// What the owner of a connection sees of it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    fault: Cell<Option<Reason>>,
    begun: Cell<bool>,
    full: Cell<Option<Instant>>,
}

/// A stream as the library gets it.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: Lent<S>,
    /// Bytes that were read already.
    first: Bytes,
    /// A frame that is put behind the peer's first one.
    planted: Bytes,
    meter: Meter,
    seen: Rc<Seen>,
}

impl Seen {
    /// Why the connection has to end for what the peer sends. Nothing is read after that.
    pub(super) fn fault(&self) -> Option<Reason> {
        self.fault.get()
    }

    /// The peer has begun to speak HTTP/2.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Since when the peer takes nothing, if it does not.
    pub(super) fn full_since(&self) -> Option<Instant> {
        self.full.get()
    }

    fn wrote(&self, done: bool) {
        let since = self.full.get();
        self.full
            .set((!done).then(|| since.unwrap_or_else(Instant::now)));
    }
}

impl<S> Wire<S> {
    /// `first` was read from the stream already; `planted` is read behind the first frame.
    pub(super) fn new(stream: Lent<S>, side: Side, first: Bytes, planted: Bytes) -> Self {
        Self {
            stream,
            first,
            planted,
            meter: Meter::new(side, Instant::now()),
            seen: Rc::default(),
        }
    }

    /// What there is to see of it.
    pub(super) fn seen(&self) -> Rc<Seen> {
        self.seen.clone()
    }

    /// Takes in how much of `parts` was written.
    fn note<'b>(
        &mut self,
        parts: impl Iterator<Item = &'b [u8]>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.seen.wrote(written.is_ready());
        if let Poll::Ready(Ok(mut left)) = written {
            for part in parts {
                let count = left.min(part.len());
                self.meter.wrote(part.get(..count).unwrap_or_default());
                left -= count;
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    fn poll_bytes(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, out);
        }
        let count = self.first.len().min(out.remaining());
        out.put_slice(self.first.get(..count).unwrap_or_default());
        self.first.advance(count);
        Poll::Ready(Ok(()))
    }

    /// Reads no further than a place where something may be put in.
    fn poll_to_boundary(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut scratch = [0; SCRATCH];
        let count = self.meter.until_boundary().min(out.remaining());
        let room = scratch.get_mut(..count.min(SCRATCH)).unwrap_or_default();
        let mut part = ReadBuf::new(room);
        ready!(self.poll_bytes(cx, &mut part))?;
        out.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.seen.fault().is_some() {
            return Poll::Pending;
        }
        let before = out.filled().len();
        if this.planted.is_empty() {
            ready!(this.poll_bytes(cx, out))?;
        } else if this.meter.frames() == 0 {
            ready!(this.poll_to_boundary(cx, out))?;
        } else {
            let count = this.planted.len().min(out.remaining());
            out.put_slice(this.planted.get(..count).unwrap_or_default());
            this.planted.advance(count);
            return Poll::Ready(Ok(()));
        }
        let read = out.filled().get(before..).unwrap_or_default();
        this.meter.read(read, Instant::now());
        this.seen.begun.set(this.meter.frames() > 0);
        if let Some(fault) = this.meter.fault() {
            this.seen.fault.set(Some(fault));
            // The library would find another name for it.
            out.set_filled(before);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut *this.stream.borrow_mut()).poll_write(cx, bytes);
        this.note(iter::once(bytes), written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut *this.stream.borrow_mut()).poll_write_vectored(cx, bytes);
        this.note(bytes.iter().map(|part| &**part), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut *this.stream.borrow_mut()).poll_flush(cx);
        this.seen.wrote(flushed.is_ready());
        flushed
    }

    /// The owner ends the stream.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
