//! The line codec: bounded reading, one JSON object a line.

use serde::{Deserialize, Serialize};

use crate::down::DownLine;

/// The longest line either side may send, in bytes without the newline.
pub const MAX_LINE: usize = 1 << 20;

/// Why a line was not understood. The connection may go on after it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than [`MAX_LINE`]; the rest of the line was skipped.
    #[error("the line is longer than {MAX_LINE} bytes")]
    TooLong,
    /// Not a message of this protocol; `seq` is 0 when it could not be read.
    #[error("{message}")]
    Malformed {
        /// The number it had.
        seq: u64,
        /// What is wrong with it.
        message: String,
    },
}

impl DecodeError {
    /// The number of the message it is about, 0 when unknown.
    pub const fn seq(&self) -> u64 {
        match self {
            Self::TooLong => 0,
            Self::Malformed { seq, .. } => *seq,
        }
    }
}

/// Cuts a stream of bytes into lines of at most [`MAX_LINE`] bytes.
#[derive(Debug, Default)]
pub struct LineReader {
    buffer: Vec<u8>,
    start: usize,
    searched: usize,
    skipping: bool,
}

impl LineReader {
    /// An empty reader.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes as they arrived. Call [`Self::next_line`] until it gives `None` before adding more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line without its newline, `None` when more bytes are needed. A line that is
    /// too long is given once as [`DecodeError::TooLong`].
    pub fn next_line(&mut self) -> Option<Result<&[u8], DecodeError>> {
        loop {
            let from = self.start + self.searched;
            let newline = self
                .buffer
                .get(from..)?
                .iter()
                .position(|byte| *byte == b'\n');
            let Some(offset) = newline else {
                return self.without_newline();
            };
            let (begin, end) = (self.start, from + offset);
            self.start = end + 1;
            self.searched = 0;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if end - begin > MAX_LINE {
                return Some(Err(DecodeError::TooLong));
            }
            return self.buffer.get(begin..end).map(Ok);
        }
    }

    fn without_newline(&mut self) -> Option<Result<&[u8], DecodeError>> {
        self.searched = self.buffer.len() - self.start;
        if self.skipping || self.searched > MAX_LINE {
            self.buffer.clear();
            self.start = 0;
            self.searched = 0;
            let first = !std::mem::replace(&mut self.skipping, true);
            return first.then_some(Err(DecodeError::TooLong));
        }
        None
    }
}

/// Reads one downward line. Unknown keys are ignored.
pub fn decode(line: &[u8]) -> Result<DownLine, DecodeError> {
    #[derive(Deserialize)]
    struct Numbered {
        #[serde(default)]
        seq: u64,
    }
    serde_json::from_slice(line).map_err(|error| DecodeError::Malformed {
        seq: serde_json::from_slice::<Numbered>(line).map_or(0, |numbered| numbered.seq),
        message: format!("the line was not understood: {error}"),
    })
}

/// Appends `message` and a newline to `out`. A message that cannot be written leaves `out` as it was.
pub fn encode(message: &impl Serialize, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let before = out.len();
    match serde_json::to_writer(&mut *out, message) {
        Ok(()) => out.push(b'\n'),
        Err(error) => {
            out.truncate(before);
            return Err(error);
        }
    }
    Ok(())
}
