//! Follows a chunked body as its bytes pass (RFC 9112, 7.1).
//!
//! The bytes of valid chunks go on as they came: the scanner only says how many of them may. The
//! trailer section is kept back until it is complete, because its fields are filtered.

use crate::error::ChunkError;
use crate::scan::HeadScanner;

/// The longest chunk line in bytes, extensions included.
const MAX_LINE: usize = 4 * 1024;
/// The largest trailer section in bytes.
const MAX_TRAILERS: usize = 8 * 1024;
/// Chunk extensions of one body in bytes: nothing reads them, so many are an attack.
const MAX_EXTENSIONS: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a chunk's size; whether a digit was seen.
    Size(bool),
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

/// How far a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes taken from the input.
    pub consumed: usize,
    /// The first so many of them may be forwarded as they are. The rest belongs to the trailers.
    pub forward: usize,
    /// The body is complete. What follows in the input is the next message.
    pub done: bool,
}

/// The place in one chunked body.
#[derive(Debug)]
pub struct ChunkedScanner {
    state: State,
    /// Bytes left of the chunk; while its size is read, the size so far.
    left: u64,
    line: usize,
    extensions: usize,
    trailers: Vec<u8>,
    ends: HeadScanner,
}

impl Default for ChunkedScanner {
    fn default() -> Self {
        Self {
            state: State::Size(false),
            left: 0,
            line: 0,
            extensions: 0,
            trailers: Vec::new(),
            ends: HeadScanner::default(),
        }
    }
}

impl ChunkedScanner {
    /// Takes in the next bytes of the body. With `data`, the chunks' data is appended to it.
    pub fn scan(
        &mut self,
        input: &[u8],
        mut data: Option<&mut Vec<u8>>,
    ) -> Result<Progress, ChunkError> {
        let mut at = 0;
        while let Some(byte) = input.get(at).copied() {
            match self.state {
                State::Data => {
                    let rest = input.get(at..).unwrap_or_default();
                    let take = rest
                        .len()
                        .min(usize::try_from(self.left).unwrap_or(usize::MAX));
                    if let Some(data) = data.as_deref_mut() {
                        data.extend_from_slice(rest.get(..take).unwrap_or_default());
                    }
                    self.left -= take as u64;
                    at += take;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                }
                State::Trailers => {
                    let used = self.trailer(input.get(at..).unwrap_or_default())?;
                    let done = self.state == State::Done;
                    return Ok(Progress {
                        consumed: at + used,
                        forward: at,
                        done,
                    });
                }
                State::Done => break,
                _ => {
                    self.step(byte)?;
                    at += 1;
                }
            }
        }
        Ok(Progress {
            consumed: at,
            forward: at,
            done: self.state == State::Done,
        })
    }

    /// How much of the present chunk's data comes next; 0 when something else does.
    pub fn data_left(&self) -> u64 {
        match self.state {
            State::Data => self.left,
            _ => 0,
        }
    }

    /// The trailer section, when the body is complete: fields and the empty line, unfiltered.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    fn step(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.state = match (self.state, byte) {
            (State::Size(seen), _) => self.size(byte, seen)?,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, _) => self.extension(byte)?,
            (State::SizeLf, b'\n') => {
                self.line = 0;
                if self.left == 0 {
                    State::Trailers
                } else {
                    State::Data
                }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size(false),
            (State::SizeLf, _) => return Err(ChunkError("a CR without LF after a chunk size")),
            _ => return Err(ChunkError("chunk data that is not as long as its size")),
        };
        Ok(())
    }

    fn size(&mut self, byte: u8, seen: bool) -> Result<State, ChunkError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if seen => return Ok(State::SizeLf),
            b';' if seen => return Ok(State::Extension),
            _ => return Err(ChunkError("an invalid chunk size")),
        };
        self.line += 1;
        // 15 digits leave the top bits free; leading zeros count, which bounds the line too.
        if self.line > 15 {
            return Err(ChunkError("a chunk size that is too large"));
        }
        self.left = (self.left << 4) | u64::from(digit);
        Ok(State::Size(true))
    }

    fn extension(&mut self, byte: u8) -> Result<State, ChunkError> {
        self.line += 1;
        self.extensions += 1;
        if self.line > MAX_LINE || self.extensions > MAX_EXTENSIONS {
            return Err(ChunkError("chunk extensions that are too long"));
        }
        if byte != b'\t' && (byte < b' ' || byte == 0x7f) {
            return Err(ChunkError("a control byte in a chunk extension"));
        }
        Ok(State::Extension)
    }

    /// Takes in bytes of the trailer section and gives back how many were its own.
    fn trailer(&mut self, input: &[u8]) -> Result<usize, ChunkError> {
        let before = self.trailers.len();
        let room = MAX_TRAILERS - before;
        self.trailers
            .extend_from_slice(input.get(..input.len().min(room)).unwrap_or_default());
        let end = match self.trailers.as_slice() {
            [b'\r', b'\n', ..] => Some(2),
            [b'\r'] | [] => None,
            section => {
                let found = self.ends.scan(section, false);
                found
                    .map_err(|_| ChunkError("an invalid line in the trailers"))?
                    .map(|span| span.end)
            }
        };
        match end {
            Some(end) => {
                self.trailers.truncate(end);
                self.state = State::Done;
                Ok(end - before)
            }
            None if self.trailers.len() >= MAX_TRAILERS => {
                Err(ChunkError("trailers that are too large"))
            }
            None => Ok(self.trailers.len() - before),
        }
    }
}

/// Appends `data` as one chunk; nothing when it is empty, since an empty chunk would end the body.
pub fn write_chunk(data: &[u8], out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    let digits = format!("{:x}\r\n", data.len());
    out.extend_from_slice(digits.as_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Result<(Vec<u8>, Progress), ChunkError> {
        let mut data = Vec::new();
        let progress = ChunkedScanner::default().scan(input, Some(&mut data))?;
        Ok((data, progress))
    }

    #[test]
    fn reads_chunks_and_stops_at_the_end() {
        let input = b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\nGET";
        let (data, progress) = all(input).unwrap();
        assert_eq!(data, b"hello world");
        assert_eq!(
            progress,
            Progress {
                consumed: input.len() - 3,
                forward: input.len() - 5,
                done: true
            }
        );
    }

    #[test]
    fn keeps_trailers_back() {
        let input = b"0\r\nA: b\r\nC: d\r\n\r\nrest";
        let mut scanner = ChunkedScanner::default();
        let progress = scanner.scan(input, None).unwrap();
        assert_eq!(
            progress,
            Progress {
                consumed: input.len() - 4,
                forward: 3,
                done: true
            }
        );
        assert_eq!(scanner.trailers(), b"A: b\r\nC: d\r\n\r\n");
    }

    #[test]
    fn every_cut_gives_the_same_answer() {
        let input = b"5\r\nhello\r\n0b;x\r\n0123456789a\r\n0\r\nT: v\r\n\r\n";
        let expected = all(input).unwrap().0;
        for cut in 0..input.len() {
            let mut scanner = ChunkedScanner::default();
            let mut data = Vec::new();
            let first = scanner.scan(&input[..cut], Some(&mut data)).unwrap();
            assert_eq!((first.consumed, first.done), (cut, false));
            let second = scanner.scan(&input[cut..], Some(&mut data)).unwrap();
            assert_eq!((second.consumed, second.done), (input.len() - cut, true));
            assert_eq!(
                (&data, scanner.trailers()),
                (&expected, &b"T: v\r\n\r\n"[..])
            );
        }
    }

    #[test]
    fn what_is_not_a_chunk_is_refused() {
        for bad in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\na\r\n",
            "1 \r\na\r\n",
            "1\na\r\n",
            "1\r\nab\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\na\r0",
            "1;a\nb\r\n",
            "1;\x01\r\n",
            "1;\x7f\r\n",
            "1\rX",
            ";\r\n",
            "0\r\nA b\n\r\n",
            "0\r\nA: b\r\r\n\r\n",
            "1000000000000000\r\n",
            "0000000000000001\r\n",
            "ffffffffffffffffff\r\n",
        ] {
            assert!(all(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let long = format!("1;{}", "x".repeat(MAX_LINE + 1));
        assert!(all(long.as_bytes()).is_err());
        let many = format!("1;{}\r\na\r\n", "x".repeat(1000)).repeat(70);
        assert!(all(many.as_bytes()).is_err());
        let trailers = format!("0\r\nA: {}", "x".repeat(MAX_TRAILERS));
        assert!(all(trailers.as_bytes()).is_err());
    }

    /// What a bound is for is one line, or one section however it comes.
    #[test]
    fn bounds_begin_again_and_hold_in_pieces() {
        assert!(all(&b"a;b\r\n0123456789\r\n".repeat(40)).is_ok());
        let mut scanner = ChunkedScanner::default();
        let first = format!("0\r\nA: {}", "x".repeat(MAX_TRAILERS / 2));
        assert!(scanner.scan(first.as_bytes(), None).is_ok());
        let second = format!("{}\r\n\r\n", "x".repeat(MAX_TRAILERS / 2));
        assert!(scanner.scan(second.as_bytes(), None).is_err());
    }
}
