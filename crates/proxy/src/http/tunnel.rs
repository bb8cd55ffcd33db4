//! Bytes both ways after an upgrade, until both sides are done.

use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::ending::Ending;
use super::watchdog::{Activity, Watchdog};
use crate::buffer::Buffer;
use crate::client::send;
use crate::relay::copy_some;

/// One direction: where bytes come from, those already read, and where they go.
pub(super) struct Way<'a, F, T> {
    pub(super) from: &'a mut F,
    pub(super) read: Buffer,
    pub(super) to: &'a mut T,
}

impl<F: AsyncRead + Unpin, T: AsyncWrite + Unpin> Way<'_, F, T> {
    /// Moves bytes until the end of the stream, and passes the end on. Most tunnels rest for most of
    /// their lives, so one owns no buffer once what was read before it began is sent.
    async fn run(self, activity: &Activity) -> io::Result<()> {
        let Self { from, read, to } = self;
        send(to, read.unread()).await?;
        drop(read);
        activity.note();
        while copy_some(from, to).await? > 0 {
            activity.note();
        }
        to.shutdown().await
    }
}

/// Moves bytes both ways. An end of one side is passed on while the other goes on; an error, or no
/// byte for `idle`, ends both.
pub(super) async fn run(
    up: Way<'_, impl AsyncRead + Unpin, impl AsyncWrite + Unpin>,
    down: Way<'_, impl AsyncRead + Unpin, impl AsyncWrite + Unpin>,
    activity: &Activity,
    watchdog: &mut Watchdog,
    idle: Duration,
) -> Ending {
    let mut up = pin!(up.run(activity));
    let mut down = pin!(down.run(activity));
    let (mut up_done, mut down_done) = (false, false);
    watchdog.begin();
    std::future::poll_fn(|cx| {
        for (way, done) in [
            (
                up.as_mut() as std::pin::Pin<&mut dyn Future<Output = io::Result<()>>>,
                &mut up_done,
            ),
            (down.as_mut(), &mut down_done),
        ] {
            if !*done && let Poll::Ready(result) = way.poll(cx) {
                *done = true;
                if result.is_err() {
                    return Poll::Ready(Ending::Reset);
                }
            }
        }
        if up_done && down_done {
            return Poll::Ready(Ending::Close);
        }
        watchdog
            .poll_expired(cx, idle, Some(activity))
            .map(|()| Ending::Reset)
    })
    .await
}
