//! Both sides of a stream for one task, which takes in what comes whatever else it waits for.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A side of what both sides share; one reads, the other writes.
#[derive(Debug)]
pub(crate) struct Half<'a, T>(&'a RefCell<T>);

impl<'a, T> Half<'a, T> {
    /// A side of `of`, which nobody else borrows.
    pub(crate) fn new(of: &'a RefCell<T>) -> Self {
        Self(of)
    }
}

/// What comes to it can be taken in before it is read.
pub(crate) trait Absorb {
    /// Takes in what has come. The task is woken when more does.
    fn absorb(&mut self, cx: &mut Context<'_>);
}

/// Does `work`, in which sides of `stream` are used, and takes in meanwhile what comes on it.
pub(crate) async fn absorbing<O>(
    stream: &RefCell<impl Absorb>,
    work: impl Future<Output = O>,
) -> O {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| {
        stream.borrow_mut().absorb(cx);
        work.as_mut().poll(cx)
    })
    .await
}

impl<T: AsyncRead + Unpin> AsyncRead for Half<'_, T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Half<'_, T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_shutdown(cx)
    }
}
