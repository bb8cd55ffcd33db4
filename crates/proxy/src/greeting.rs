//! What a caller says first, read until it is understood and no further.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::buffer::Buffer;
use crate::group::Member;

/// Why nothing was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsaid {
    /// The time was over.
    Late,
    /// The caller went, or nothing was said before it had to go.
    Gone,
}

/// Reads into `read` until `look` makes something of it, which it has to do before much has arrived. A
/// connection that is silent so far ends as soon as `ends_at_once`; `member` is woken when that changes.
pub(crate) async fn hear<T>(
    stream: &mut TcpStream,
    read: &mut Buffer,
    patience: Duration,
    member: &Member,
    ends_at_once: impl Fn() -> bool,
    mut look: impl FnMut(&[u8]) -> Option<T>,
) -> Result<T, Unsaid> {
    let hearing = async {
        let (mut reader, _) = stream.split();
        loop {
            let silent = read.is_empty();
            let filled = poll_fn(|cx| {
                member.register(cx.waker());
                if silent && ends_at_once() {
                    return Poll::Ready(Ok(0));
                }
                read.poll_fill(&mut reader, cx)
            });
            if !matches!(filled.await, Ok(1..)) {
                return Err(Unsaid::Gone);
            }
            if let Some(said) = look(read.unread()) {
                return Ok(said);
            }
        }
    };
    timeout(patience, hearing)
        .await
        .unwrap_or(Err(Unsaid::Late))
}
