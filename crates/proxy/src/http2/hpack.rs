//! A request's head as the frames that a client of HTTP/2 would have sent (RFC 9113, 6.2; RFC 7541).
//!
//! For the one request that began in HTTP/1.1. Nothing is compressed, so nothing has to be remembered.

/// The most a frame carries unless it was agreed otherwise.
const MAX_PAYLOAD: usize = 16_384;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// A field whose name and value are spelled out and not remembered (RFC 7541, 6.2.2).
const LITERAL: u8 = 0;

/// A block of fields.
#[derive(Debug, Default)]
pub(super) struct Block(Vec<u8>);

impl Block {
    /// Adds a field. The name is put in lower case.
    pub(super) fn add(&mut self, name: &str, value: &[u8]) {
        self.0.push(LITERAL);
        self.text(name.to_ascii_lowercase().as_bytes());
        self.text(value);
    }

    fn text(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// A number with a prefix of seven bits (RFC 7541, 5.1).
    fn length(&mut self, mut length: usize) {
        const PREFIX: usize = 0x7f;
        if length < PREFIX {
            self.0.push(length as u8);
            return;
        }
        self.0.push(PREFIX as u8);
        length -= PREFIX;
        while length >= 0x80 {
            self.0.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        self.0.push(length as u8);
    }

    /// The frames of a request on stream 1 that has no body.
    pub(super) fn request_frames(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len() + 32);
        let parts: Vec<_> = self.0.chunks(MAX_PAYLOAD).collect();
        for (at, part) in parts.iter().enumerate() {
            let (kind, begun) = match at {
                0 => (HEADERS, END_STREAM),
                _ => (CONTINUATION, 0),
            };
            let ended = if at + 1 == parts.len() {
                END_HEADERS
            } else {
                0
            };
            let [.., a, b, c] = part.len().to_be_bytes();
            out.extend_from_slice(&[a, b, c, kind, begun | ended, 0, 0, 0, 1]);
            out.extend_from_slice(part);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7541, C.1.2: 1337 with a prefix of five bits is 31 and what is left of it.
    #[test]
    fn numbers_are_as_long_as_they_need_to_be() {
        for (length, bytes) in [
            (126, vec![126]),
            (127, vec![127, 0]),
            (254, vec![127, 127]),
            (255, vec![127, 128, 1]),
        ] {
            let mut block = Block::default();
            block.length(length);
            assert_eq!(block.0, bytes);
        }
    }

    #[test]
    fn long_heads_take_several_frames() {
        let mut block = Block::default();
        block.add("A", &[b'x'; MAX_PAYLOAD]);
        let frames = block.request_frames();
        assert_eq!(frames[..12], [0, 64, 0, 1, 1, 0, 0, 0, 1, 0, 1, b'a']);
        let second = &frames[HEADER + MAX_PAYLOAD..];
        assert_eq!(second[..HEADER], [0, 0, 6, 9, 4, 0, 0, 0, 1]);
        assert_eq!(second.len(), HEADER + 6);
    }

    const HEADER: usize = 9;
}
