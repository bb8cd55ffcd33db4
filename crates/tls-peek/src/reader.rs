//! Bytes taken from the front, in TLS's terms.

use crate::HelloError;

/// What is left of a structure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'b>(pub(crate) &'b [u8]);

impl<'b> Reader<'b> {
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next `count` bytes; `None` when there are not so many.
    pub(crate) fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of `count` bytes.
    pub(crate) fn number(&mut self, count: usize) -> Option<usize> {
        let bytes = self.take(count)?;
        let number = bytes
            .iter()
            .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        Some(number)
    }

    /// A vector: its length in `count` bytes, then as many.
    pub(crate) fn vector(&mut self, count: usize) -> Option<Reader<'b>> {
        let length = self.number(count)?;
        self.take(length).map(Reader)
    }
}

/// What a structure that ends too early is.
pub(crate) const CUT: HelloError = HelloError("a length in the ClientHello is wrong");
