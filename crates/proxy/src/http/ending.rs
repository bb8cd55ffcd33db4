//! The ways a client connection ends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{self, ClientStream};

/// How long, and for how many bytes, a refused client is listened to.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// How to close a client connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Close: everything that was to be said was said, and read.
    Close,
    /// The client may still be sending. Closing at once would reset the connection, and the reset
    /// could overtake the response (RFC 9112, 9.6).
    Linger,
    /// Reset: a response broke off, and its reader must not take it for a complete one.
    Reset,
}

/// Ends `stream` so.
pub(crate) async fn end(mut stream: impl ClientStream, ending: Ending) {
    match ending {
        Ending::Close => stream.close().await,
        Ending::Linger => {
            let _ = tokio::time::timeout(LINGER, linger(&mut stream)).await;
        }
        Ending::Reset => client::reset(stream),
    }
}

async fn linger(stream: &mut impl ClientStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut scratch = [0; 4096];
    let mut left = LINGER_BYTES;
    while let Ok(count @ 1..) = stream.read(&mut scratch).await {
        left = left.saturating_sub(count);
        if left == 0 {
            return;
        }
    }
}
