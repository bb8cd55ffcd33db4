//! The body of a request on its way to a Machine, and what is kept of it to be sent again.
//!
//! Bytes go from the client's buffer into what is kept and from there to the Machine, so that the place it has
//! come to is the same for every attempt: the next one sends what is kept and goes on. Once there is more than
//! may be kept, the rest goes straight through and there is no other attempt.

use roost_http1::{ChunkError, ChunkedScanner, RequestFraming, write_trailers};

use crate::buffer::Buffer;
use crate::replay::keeper::{Keeper, Unkept};

/// What is left of a request behind its head.
#[derive(Debug)]
pub(super) struct Body {
    left: Left,
    kept: Vec<u8>,
    keeper: Option<Keeper>,
    /// Bytes of it were sent that are nowhere else.
    lost: Option<Unkept>,
}

#[derive(Debug)]
enum Left {
    Nothing,
    Length(u64),
    Chunks(Box<ChunkedScanner>),
}

/// A part of the body that is to be sent now.
#[derive(Debug)]
pub(super) enum Part {
    /// What is kept, from this byte on.
    Kept(usize),
    /// The first bytes of the client's buffer, which holds so many of it altogether, and then an end.
    Passing {
        forward: usize,
        consumed: usize,
        end: Vec<u8>,
    },
}

impl Body {
    /// The body that `framing` tells of. `keeper` is asked for room when there is one to be kept.
    pub(super) fn new(framing: RequestFraming, keeper: impl FnOnce() -> Keeper) -> Self {
        let left = match framing {
            RequestFraming::None | RequestFraming::Length(0) => Left::Nothing,
            RequestFraming::Length(length) => Left::Length(length),
            RequestFraming::Chunked => Left::Chunks(Box::default()),
        };
        let keeper = match left {
            Left::Nothing => None,
            Left::Length(length) => Some(keeper()).filter(|keeper| keeper.fits(length)),
            Left::Chunks(_) => Some(keeper()),
        };
        Self {
            left,
            kept: Vec::new(),
            keeper,
            lost: None,
        }
    }

    /// Whether nothing more comes from the client.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.left, Left::Nothing)
    }

    /// How much of it may still come from the client.
    pub(super) fn left(&self) -> u64 {
        match self.left {
            Left::Nothing => 0,
            Left::Length(left) => left,
            Left::Chunks(_) => u64::MAX,
        }
    }

    /// Whether the request cannot be sent again.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Why it cannot.
    pub(super) fn lost(&self) -> Option<Unkept> {
        self.lost
    }

    /// What another attempt has to send first.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Takes what `input` has of the body.
    pub(super) fn take(&mut self, input: &mut Buffer) -> Result<Part, ChunkError> {
        let mut end = Vec::new();
        let (forward, consumed) = match &mut self.left {
            Left::Nothing => (0, 0),
            Left::Length(left) => {
                let count = input.first(*left).len();
                *left -= count as u64;
                (count, count)
            }
            Left::Chunks(chunks) => {
                let progress = chunks.scan(input.unread(), None)?;
                if progress.done {
                    write_trailers(chunks.trailers(), &mut end)?;
                }
                (progress.forward, progress.consumed)
            }
        };
        if matches!(self.left, Left::Length(0)) || !end.is_empty() {
            self.left = Left::Nothing;
        }
        if self.keep(input.first(forward as u64), &end) {
            input.consume(consumed);
            return Ok(Part::Kept(self.kept.len() - forward - end.len()));
        }
        Ok(Part::Passing {
            forward,
            consumed,
            end,
        })
    }

    fn keep(&mut self, bytes: &[u8], end: &[u8]) -> bool {
        let room = bytes.len() + end.len();
        let keeper = self.keeper.as_mut().ok_or(Unkept::TooLarge);
        if let Err(why) = keeper.and_then(|keeper| keeper.reserve(room)) {
            // What was kept has been sent in this attempt already.
            self.keeper = None;
            self.kept = Vec::new();
            self.lost.get_or_insert(why);
            return false;
        }
        self.kept.extend_from_slice(bytes);
        self.kept.extend_from_slice(end);
        true
    }
}
