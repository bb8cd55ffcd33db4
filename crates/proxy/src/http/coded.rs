//! A response that is compressed on its way to the client.
//!
//! Whatever has arrived from the Machine leaves before more is waited for, so a stream stays one. Encoders
//! take memory: where too many are at work, a response goes through as it is. No app may have all of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use roost_compress::{Coding, Encoder};
use roost_http1::{ResponseFraming, write_chunk};
use tokio::io::{AsyncRead, AsyncWrite};

use super::download::{Download, DownloadError};
use super::source::{Source, Step};
use crate::route::AppHandle;
use crate::shared::Shared;

/// Responses that are compressed at a time; each takes up to about two megabytes.
const MAX_CODERS: usize = 128;
/// Those of one app.
const MAX_APP_CODERS: usize = MAX_CODERS / 4;

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
struct Counted {
    shared: Arc<Shared>,
    app: Arc<AppHandle>,
}

impl Coder {
    /// An encoder for a response to a caller of `app`, unless too many are at work.
    pub(super) fn new(shared: &Arc<Shared>, app: &Arc<AppHandle>, coding: Coding) -> Option<Self> {
        let counted = Counted::new(shared, app)?;
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
    fn new(shared: &Arc<Shared>, app: &Arc<AppHandle>) -> Option<Self> {
        let all = shared.coders.fetch_add(1, Ordering::Relaxed);
        let of_app = app.coders.fetch_add(1, Ordering::Relaxed);
        // Counted at first, so that it is given back in any case.
        let counted = Self {
            shared: shared.clone(),
            app: app.clone(),
        };
        (all < MAX_CODERS && of_app < MAX_APP_CODERS).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.coders.fetch_sub(1, Ordering::Relaxed);
        self.app.coders.fetch_sub(1, Ordering::Relaxed);
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
