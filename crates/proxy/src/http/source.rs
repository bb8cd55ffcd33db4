//! A response's body as it comes from the Machine, for what has to see its plain bytes.

use roost_http1::{ChunkError, ChunkedScanner, ResponseFraming, write_trailers};

use super::coded::Coder;
use super::download::{CUT_SHORT, DownloadError};
use crate::buffer::Buffer;

/// Bytes that are compressed before other connections have their turn.
const AT_ONCE: u64 = 32 * 1024;

/// How far along it is.
pub(super) enum Source {
    /// So many bytes are missing.
    Length(u64),
    /// Chunks come.
    Chunks(Box<ChunkedScanner>),
    /// It ends when the Machine closes.
    UntilClose,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Something has arrived already.
    More,
    /// Nothing that can be used has.
    Dry,
    /// The body is complete.
    Done,
}

impl Source {
    /// A body that begins now.
    pub(super) fn of(framing: ResponseFraming) -> Self {
        match framing {
            ResponseFraming::None => Self::Length(0),
            ResponseFraming::Length(length) => Self::Length(length),
            ResponseFraming::Chunked => Self::Chunks(Box::default()),
            ResponseFraming::UntilClose => Self::UntilClose,
        }
    }

    /// Moves some of what has arrived into the coder.
    pub(super) fn step(
        &mut self,
        answer: &mut Buffer,
        coder: &mut Coder,
    ) -> Result<Step, DownloadError> {
        let (used, done) = match self {
            Self::Length(left) => {
                let plain = answer.first(AT_ONCE.min(*left));
                coder.write(plain)?;
                *left -= plain.len() as u64;
                (plain.len(), *left == 0)
            }
            Self::Chunks(chunks) => {
                let mut plain = Vec::new();
                let progress = chunks
                    .scan(answer.first(AT_ONCE), Some(&mut plain))
                    .map_err(bad)?;
                coder.write(&plain)?;
                (progress.consumed, progress.done)
            }
            Self::UntilClose => {
                let plain = answer.first(AT_ONCE);
                coder.write(plain)?;
                (plain.len(), false)
            }
        };
        answer.consume(used);
        Ok(match (done, answer.is_empty() || used == 0) {
            (true, _) => Step::Done,
            (false, true) => Step::Dry,
            (false, false) => Step::More,
        })
    }

    /// The Machine has closed: an error unless that is how the body ends.
    pub(super) fn may_end_here(&self) -> Result<(), DownloadError> {
        match self {
            Self::UntilClose => Ok(()),
            Self::Length(_) | Self::Chunks(_) => Err(CUT_SHORT),
        }
    }

    /// Appends the end of a body in chunks.
    pub(super) fn write_end(&self, out: &mut Vec<u8>) -> Result<(), DownloadError> {
        out.extend_from_slice(b"0\r\n");
        let trailers = match self {
            Self::Chunks(chunks) => chunks.trailers(),
            Self::Length(_) | Self::UntilClose => b"\r\n",
        };
        write_trailers(trailers, out).map_err(bad)
    }
}

fn bad(error: ChunkError) -> DownloadError {
    DownloadError::Bad(error.0)
}
