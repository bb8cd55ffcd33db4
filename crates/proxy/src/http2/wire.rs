//! A client's connection below HTTP/2: what was read before, what is put in, and what is counted.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes};
use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::meter::Meter;

/// Bytes read at once while something is to be put in.
const SCRATCH: usize = 512;

/// The stream that both the library and its owner have: the owner ends it.
pub(super) type Lent<S> = Rc<RefCell<S>>;

/// A stream as the library gets it.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: Lent<S>,
    /// Bytes that were read already.
    first: Bytes,
    /// A frame that is put behind the client's first one.
    planted: Bytes,
    meter: Meter,
    fault: Rc<Cell<Option<Reason>>>,
    full: Rc<Cell<bool>>,
}

impl<S> Wire<S> {
    /// `first` was read from the stream already; `planted` is read behind the first frame.
    pub(super) fn new(stream: Lent<S>, first: Bytes, planted: Bytes) -> Self {
        Self {
            stream,
            first,
            planted,
            meter: Meter::new(Instant::now()),
            fault: Rc::default(),
            full: Rc::default(),
        }
    }

    /// Is set when the connection has to end for what the client sends. Nothing is read after that.
    pub(super) fn fault(&self) -> Rc<Cell<Option<Reason>>> {
        self.fault.clone()
    }

    /// Says whether the client takes nothing at present.
    pub(super) fn full(&self) -> Rc<Cell<bool>> {
        self.full.clone()
    }

    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        self.full.set(written.is_pending());
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
        if this.fault.get().is_some() {
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
        if let Some(fault) = this.meter.fault() {
            this.fault.set(Some(fault));
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
        let written = Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.stream.borrow_mut()).poll_write_vectored(cx, bytes);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx);
        self.note(flushed)
    }

    /// The owner ends the stream.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
