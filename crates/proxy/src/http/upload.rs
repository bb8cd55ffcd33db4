//! The request's way to the Machine.

use std::cell::Cell;
use std::io;

use roost_http1::{ChunkError, ChunkedScanner, RequestFraming, write_trailers};
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::tcp::WriteHalf;

use super::watchdog::Activity;
use crate::buffer::Buffer;

/// What a client may send ahead of its turn.
const MAX_AHEAD: usize = 64 * 1024;

/// How far the request has come; the response's way looks at it.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// The Machine has the head.
    pub(super) head: Cell<bool>,
    /// Bytes of the body were sent that are nowhere else: the request cannot be sent again.
    pub(super) streamed: Cell<bool>,
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
pub(super) struct Upload<'a, 'm, R> {
    pub(super) reader: &'a mut R,
    pub(super) input: &'a mut Buffer,
    pub(super) writer: &'a mut WriteHalf<'m>,
    /// The head, and the body if it was small and there.
    pub(super) head: &'a [u8],
    /// How the rest of the body is delimited.
    pub(super) framing: RequestFraming,
    pub(super) sent: &'a Sent,
    pub(super) activity: &'a Activity,
}

impl<R: AsyncRead + Unpin> Upload<'_, '_, R> {
    /// Sends everything, then watches the client.
    pub(super) async fn run(mut self) -> UploadEnd {
        match self.send().await {
            Ok(()) => watch(self.reader, self.input).await,
            Err(end) => end,
        }
    }

    async fn send(&mut self) -> Result<(), UploadEnd> {
        self.writer.write_all(self.head).await.map_err(deaf)?;
        self.sent.head.set(true);
        self.activity.note();
        match self.framing {
            RequestFraming::None => {}
            RequestFraming::Length(length) => self.send_length(length).await?,
            RequestFraming::Chunked => self.send_chunks().await?,
        }
        self.sent.all.set(true);
        Ok(())
    }

    async fn send_length(&mut self, mut left: u64) -> Result<(), UploadEnd> {
        while left > 0 {
            self.more().await?;
            let bytes = self.input.first(left);
            let count = bytes.len();
            self.sent.streamed.set(true);
            self.writer.write_all(bytes).await.map_err(deaf)?;
            self.activity.note();
            self.input.consume(count);
            left -= count as u64;
        }
        Ok(())
    }

    async fn send_chunks(&mut self) -> Result<(), UploadEnd> {
        let mut chunks = ChunkedScanner::default();
        loop {
            self.more().await?;
            let progress = chunks
                .scan(self.input.unread(), None)
                .map_err(UploadEnd::BadBody)?;
            self.sent.streamed.set(true);
            let bytes = self.input.first(progress.forward as u64);
            self.writer.write_all(bytes).await.map_err(deaf)?;
            self.activity.note();
            self.input.consume(progress.consumed);
            if progress.done {
                let mut end = Vec::new();
                write_trailers(chunks.trailers(), &mut end).map_err(UploadEnd::BadBody)?;
                return self.writer.write_all(&end).await.map_err(deaf);
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
/// kept, within bounds.
pub(super) async fn watch(reader: &mut (impl AsyncRead + Unpin), input: &mut Buffer) -> UploadEnd {
    while input.len() < MAX_AHEAD {
        if !matches!(input.fill(reader).await, Ok(1..)) {
            return UploadEnd::ClientGone;
        }
    }
    std::future::pending().await
}
