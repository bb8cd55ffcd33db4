//! A response that is compressed on its way to the client.
//!
//! Whatever has arrived from the Machine leaves before more is waited for, so a stream stays one. Encoders
//! take memory: where too many are at work, a response goes through as it is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use roost_compress::{Coding, Encoder};
use roost_http1::{ResponseFraming, write_chunk};
use tokio::io::{AsyncRead, AsyncWrite};

use super::download::{Download, DownloadError};
use super::source::{Source, Step};
use crate::shared::Shared;

/// Responses that are compressed at a time; each takes up to about two megabytes.
const MAX_CODERS: usize = 128;

/// One body's encoder.
#[derive(Debug)]
pub(super) struct Coder {
    encoder: Encoder,
    coding: Coding,
    coded: Vec<u8>,
    _counted: Counted,
}

/// Counts a response that is being compressed while it lives.
#[derive(Debug)]
struct Counted(Arc<Shared>);

impl Coder {
    /// An encoder, unless too many are at work.
    pub(super) fn new(shared: &Arc<Shared>, coding: Coding) -> Option<Self> {
        let counted = Counted::new(shared)?;
        let encoder = Encoder::new(coding).ok()?;
        Some(Self {
            encoder,
            coding,
            coded: Vec::new(),
            _counted: counted,
        })
    }

    /// The coding's name.
    pub(super) const fn token(&self) -> &'static str {
        self.coding.token()
    }

    /// Takes plain bytes in.
    pub(super) fn write(&mut self, plain: &[u8]) -> Result<(), DownloadError> {
        broken(self.encoder.write(plain, &mut self.coded))
    }

    /// Moves into `out`, as a chunk, all that is needed to read what was taken in.
    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), DownloadError> {
        broken(self.encoder.flush(&mut self.coded))?;
        self.give(out);
        Ok(())
    }

    fn give(&mut self, out: &mut Vec<u8>) {
        write_chunk(&self.coded, out);
        self.coded.clear();
    }

    fn finish(self, out: &mut Vec<u8>) -> Result<(), DownloadError> {
        let mut coded = self.coded;
        broken(self.encoder.finish(&mut coded))?;
        write_chunk(&coded, out);
        Ok(())
    }
}

impl Counted {
    fn new(shared: &Arc<Shared>) -> Option<Self> {
        let before = shared.coders.fetch_add(1, Ordering::Relaxed);
        let counted = Self(shared.clone());
        (before < MAX_CODERS).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.coders.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Encoders write into memory, so this is no error of anybody outside.
fn broken(result: io::Result<()>) -> Result<(), DownloadError> {
    result.map_err(|_| DownloadError::Bad("it could not be compressed"))
}

impl<M: AsyncRead + Unpin, W: AsyncWrite + Unpin> Download<'_, M, W> {
    /// Takes the body through, compressed and in chunks.
    pub(super) async fn coded(
        &mut self,
        framing: ResponseFraming,
        mut coder: Coder,
    ) -> Result<(), DownloadError> {
        let mut source = Source::of(framing);
        loop {
            match source.step(self.answer, &mut coder)? {
                Step::Done => break,
                Step::More => {
                    coder.give(self.output);
                    self.flush().await?;
                    tokio::task::yield_now().await;
                }
                Step::Dry => {
                    coder.flush(self.output)?;
                    self.flush().await?;
                    if !self.more_or_end().await? {
                        source.may_end_here()?;
                        break;
                    }
                }
            }
        }
        coder.finish(self.output)?;
        source.write_end(self.output)
    }
}
