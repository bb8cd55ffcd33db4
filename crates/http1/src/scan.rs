//! Finds the end of a message head as its bytes arrive.
//!
//! It looks at each byte once, however the head is cut into reads, and it accepts CRLF as the only
//! line end: a lone CR or LF is where two readers of one message most often disagree.

use memchr::memchr2;

use crate::error::{RequestError, ResponseError};
use crate::fields::{ADDED_FIELDS, MAX_FIELDS};

/// The largest head in bytes, from the first line to the empty line.
pub const MAX_HEAD: usize = 64 * 1024;
/// The longest request or status line in bytes.
pub const MAX_FIRST_LINE: usize = 16 * 1024;
/// Bytes that the proxy may have added to a head which it reads again.
const ADDED_BYTES: usize = 32 * 1024;

/// Where a complete head lies in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadSpan {
    /// Offset of the first line.
    pub start: usize,
    /// Offset after the empty line.
    pub end: usize,
}

/// What is wrong with the lines of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanError {
    BareCr,
    BareLf,
    BlankLines,
    FirstLineTooLong,
    TooLarge,
    TooManyFields,
}

/// The place a search for the end of a head has come to. One head, one scanner: [`HeadScanner::default`]
/// starts the next one.
#[derive(Debug, Default)]
pub struct HeadScanner {
    start: usize,
    line_start: usize,
    next: usize,
    lines: usize,
    added: bool,
}

impl HeadScanner {
    /// For a head that the proxy has written: it has room for what was added to a head that was read.
    pub fn for_written() -> Self {
        Self {
            added: true,
            ..Self::default()
        }
    }

    /// Goes on with the search in `buf`, which must begin with the bytes of the earlier calls.
    ///
    /// `None` asks for more bytes. One empty line before the request line is skipped (RFC 9112, 2.2).
    pub fn scan_request(&mut self, buf: &[u8]) -> Result<Option<HeadSpan>, RequestError> {
        let scanned = self.scan(buf, true);
        scanned.map_err(|error| match error {
            ScanError::BareCr => RequestError::Malformed("a CR without LF in the head"),
            ScanError::BareLf => RequestError::Malformed("a line of the head ends with LF alone"),
            ScanError::BlankLines => RequestError::Malformed("empty lines before the request"),
            ScanError::FirstLineTooLong if self.is_one_word(buf) => RequestError::MethodTooLong,
            ScanError::FirstLineTooLong => RequestError::TargetTooLong,
            ScanError::TooLarge | ScanError::TooManyFields => RequestError::HeadTooLarge,
        })
    }

    /// As [`Self::scan_request`], for the head of a response.
    pub fn scan_response(&mut self, buf: &[u8]) -> Result<Option<HeadSpan>, ResponseError> {
        self.scan(buf, false).map_err(|error| match error {
            ScanError::BareCr => ResponseError("a CR without LF in the response head"),
            ScanError::BareLf => ResponseError("a line of the response head ends with LF alone"),
            ScanError::BlankLines => ResponseError("an empty line before the response"),
            ScanError::FirstLineTooLong => ResponseError("the status line is too long"),
            ScanError::TooLarge => ResponseError("the response head is too large"),
            ScanError::TooManyFields => ResponseError("the response head has too many fields"),
        })
    }

    pub(crate) fn scan(
        &mut self,
        buf: &[u8],
        skip_blank: bool,
    ) -> Result<Option<HeadSpan>, ScanError> {
        loop {
            let rest = buf.get(self.next..).unwrap_or_default();
            let Some(at) = memchr2(b'\r', b'\n', rest).map(|offset| self.next + offset) else {
                self.next = buf.len();
                self.check_size(buf.len())?;
                return Ok(None);
            };
            self.check_size(at)?;
            match (buf.get(at), buf.get(at + 1)) {
                (Some(b'\n'), _) => return Err(ScanError::BareLf),
                (_, None) => {
                    self.next = at;
                    return Ok(None);
                }
                (_, Some(b'\n')) => {}
                (_, Some(_)) => return Err(ScanError::BareCr),
            }
            if let Some(span) = self.line(at, skip_blank)? {
                return Ok(Some(span));
            }
        }
    }

    /// Takes in the line that ends with the CR at `at`.
    fn line(&mut self, at: usize, skip_blank: bool) -> Result<Option<HeadSpan>, ScanError> {
        let blank = at == self.line_start;
        self.next = at + 2;
        self.line_start = self.next;
        match (blank, self.lines) {
            (true, 0) if skip_blank && self.start == 0 => self.start = self.next,
            (true, 0) => return Err(ScanError::BlankLines),
            (true, _) => {
                let (start, end) = (self.start, self.next);
                return Ok(Some(HeadSpan { start, end }));
            }
            (false, lines) if lines > self.limit(MAX_FIELDS, ADDED_FIELDS) => {
                return Err(ScanError::TooManyFields);
            }
            (false, _) => self.lines += 1,
        }
        Ok(None)
    }

    /// Whether the first line has no space where it is too long.
    fn is_one_word(&self, buf: &[u8]) -> bool {
        let line = buf.get(self.start..).unwrap_or_default();
        !line.iter().take(MAX_FIRST_LINE).any(|byte| *byte == b' ')
    }

    const fn limit(&self, most: usize, added: usize) -> usize {
        most + if self.added { added } else { 0 }
    }

    fn check_size(&self, upto: usize) -> Result<(), ScanError> {
        if self.lines == 0 && upto - self.line_start > MAX_FIRST_LINE {
            return Err(ScanError::FirstLineTooLong);
        }
        if upto - self.start > self.limit(MAX_HEAD, ADDED_BYTES) {
            return Err(ScanError::TooLarge);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Result<Option<HeadSpan>, ScanError> {
        HeadScanner::default().scan(bytes, true)
    }

    #[test]
    fn finds_the_end_and_leaves_what_follows() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
        assert_eq!(whole(bytes), Ok(Some(HeadSpan { start: 0, end: 27 })));
    }

    #[test]
    fn one_blank_line_is_skipped_and_two_are_refused() {
        let span = HeadSpan { start: 2, end: 20 };
        assert_eq!(whole(b"\r\nGET / HTTP/1.1\r\n\r\n"), Ok(Some(span)));
        assert_eq!(whole(b"\r\n\r\nGET"), Err(ScanError::BlankLines));
        assert_eq!(
            HeadScanner::default().scan(b"\r\n", false),
            Err(ScanError::BlankLines)
        );
    }

    #[test]
    fn lone_line_ends_are_refused() {
        assert_eq!(
            whole(b"GET / HTTP/1.1\nHost: a\n\n"),
            Err(ScanError::BareLf)
        );
        assert_eq!(
            whole(b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n"),
            Err(ScanError::BareCr)
        );
        assert_eq!(whole(b"GET / HTTP/1.1\r\r\n\r\n"), Err(ScanError::BareCr));
        assert_eq!(
            whole(b"GET / HTTP/1.1\r\nA: b\n\r\n"),
            Err(ScanError::BareLf)
        );
    }

    #[test]
    fn sizes_are_bounded_with_and_without_an_end() {
        let mut line = b"GET /".to_vec();
        line.resize(MAX_FIRST_LINE + 1, b'a');
        assert_eq!(whole(&line), Err(ScanError::FirstLineTooLong));
        let mut head = b"GET / HTTP/1.1\r\nA: ".to_vec();
        head.resize(MAX_HEAD + 1, b'a');
        assert_eq!(whole(&head), Err(ScanError::TooLarge));
        head.extend_from_slice(b"\r\n\r\n");
        assert_eq!(whole(&head), Err(ScanError::TooLarge));
        let mut many = b"GET / HTTP/1.1\r\n".to_vec();
        many.extend(b"a: b\r\n".repeat(MAX_FIELDS));
        assert_eq!(
            whole(&[&many[..], b"\r\n"].concat()),
            Ok(Some(HeadSpan {
                start: 0,
                end: many.len() + 2
            }))
        );
        assert_eq!(
            whole(&[&many[..], b"a: b\r\n"].concat()),
            Err(ScanError::TooManyFields)
        );
    }

    #[test]
    fn every_cut_gives_the_same_answer() {
        for bytes in [
            &b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"GET /\r\nA: b\rc\r\n\r\n",
            b"GET /\r\nA\n",
        ] {
            let expected = whole(bytes);
            let mut scanner = HeadScanner::default();
            let cut = (0..=bytes.len())
                .map(|end| scanner.scan(&bytes[..end], true))
                .find(|result| !matches!(result, Ok(None)));
            assert_eq!(Some(expected), cut);
        }
    }
}
