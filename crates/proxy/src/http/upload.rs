//! The request's way to the Machine.

use std::cell::Cell;
use std::io;

use roost_http1::ChunkError;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::body::{Body, Part};
use super::watchdog::Activity;
use crate::buffer::Buffer;

/// What a client may send ahead of its turn, when its request is under way.
const MAX_AHEAD: usize = 64 * 1024;

/// How far the request has come; the response's way looks at it.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// The Machine has the head.
    pub(super) head: Cell<bool>,
    /// The Machine has everything.
    pub(super) all: Cell<bool>,
}

/// Why the request's way ended. It does not end otherwise.
#[derive(Debug)]
pub(super) enum UploadEnd {
    /// The client closed or reset its connection, in the middle of the request or waiting for the answer.
    ClientGone,
    /// The Machine does not take more. Its answer may be on the way.
    MachineDeaf,
    /// The client's chunks are invalid.
    BadBody(ChunkError),
}

/// One request on its way.
pub(super) struct Upload<'a, R, M> {
    pub(super) reader: &'a mut R,
    pub(super) input: &'a mut Buffer,
    pub(super) writer: &'a mut M,
    /// The head, and the body if it was small and there.
    pub(super) head: &'a [u8],
    /// The rest of the body.
    pub(super) body: &'a mut Body,
    pub(super) sent: &'a Sent,
    pub(super) activity: &'a Activity,
}

impl<R: AsyncRead + Unpin, M: AsyncWrite + Unpin> Upload<'_, R, M> {
    /// Sends everything, then watches the client.
    pub(super) async fn run(mut self) -> UploadEnd {
        match self.send().await {
            Ok(()) => watch(self.reader, self.input, MAX_AHEAD).await,
            Err(end) => end,
        }
    }

    async fn send(&mut self) -> Result<(), UploadEnd> {
        self.writer.write_all(self.head).await.map_err(deaf)?;
        self.sent.head.set(true);
        self.activity.note();
        if !self.body.kept().is_empty() {
            self.writer
                .write_all(self.body.kept())
                .await
                .map_err(deaf)?;
        }
        while !self.body.is_whole() {
            self.send_part().await?;
            self.activity.note();
        }
        self.sent.all.set(true);
        Ok(())
    }

    async fn send_part(&mut self) -> Result<(), UploadEnd> {
        self.more().await?;
        let part = self.body.take(self.input).map_err(UploadEnd::BadBody)?;
        match part {
            Part::Kept(from) => {
                let bytes = self.body.kept().get(from..).unwrap_or_default();
                self.writer.write_all(bytes).await.map_err(deaf)
            }
            Part::Passing {
                forward,
                consumed,
                end,
            } => {
                let bytes = self.input.first(forward as u64);
                self.writer.write_all(bytes).await.map_err(deaf)?;
                self.input.consume(consumed);
                self.writer.write_all(&end).await.map_err(deaf)
            }
        }
    }

    /// Makes sure that something is unread.
    async fn more(&mut self) -> Result<(), UploadEnd> {
        if self.input.is_empty() {
            match self.input.fill(self.reader).await {
                Ok(1..) => self.activity.note(),
                Ok(0) | Err(_) => return Err(UploadEnd::ClientGone),
            }
        }
        Ok(())
    }
}

fn deaf(_: io::Error) -> UploadEnd {
    UploadEnd::MachineDeaf
}

/// Waits until the client is gone. A client that closes its sending side counts as gone: it cannot be
/// told from one that gave up, and the Machine's work for that one has to end. What it sends ahead is
/// kept, up to `most` bytes; beyond them it is not read, and so not seen to go.
pub(super) async fn watch(
    reader: &mut (impl AsyncRead + Unpin),
    input: &mut Buffer,
    most: usize,
) -> UploadEnd {
    while input.len() < most {
        if !matches!(input.fill_to(most, reader).await, Ok(1..)) {
            return UploadEnd::ClientGone;
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    /// Whether the client is seen to go, with what it sent; and how much was read of that.
    fn watched(sent: &[u8], most: usize) -> (bool, usize) {
        let (mut reader, mut input) = (sent, Buffer::default());
        let gone = {
            let watching = pin!(watch(&mut reader, &mut input, most));
            let polled = watching.poll(&mut Context::from_waker(Waker::noop()));
            polled.is_ready()
        };
        (gone, input.len())
    }

    /// A client that goes is seen while it sent less than may be held; never is more read than that.
    #[test]
    fn holds_no_more_than_it_may() {
        assert_eq!(watched(&[0; 99], 100), (true, 99));
        for most in [100, MAX_AHEAD] {
            assert_eq!(watched(&vec![0; 2 * MAX_AHEAD], most), (false, most));
        }
    }
}
