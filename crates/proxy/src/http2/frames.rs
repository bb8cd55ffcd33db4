//! Follows the frames of a connection as their bytes pass (RFC 9113, 4.1).

/// What a client sends before its first frame (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bytes of a frame before its payload.
const HEADER: usize = 9;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;

/// What the header of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Frame {
    fn of(header: [u8; HEADER]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = header;
        Self {
            length: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c),
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & !(1 << 31),
        }
    }

    /// Whether a flag is set.
    pub(super) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// What is read next.
#[derive(Debug, Clone, Copy)]
enum Part {
    Preface,
    Header,
    Payload,
}

/// The place in what one side sends.
#[derive(Debug)]
pub(super) struct Walk {
    part: Part,
    /// Bytes missing of the part.
    left: usize,
    header: [u8; HEADER],
    frames: u64,
}

impl Walk {
    /// The beginning of what a client sends.
    pub(super) const fn of_client() -> Self {
        Self {
            part: Part::Preface,
            left: PREFACE.len(),
            header: [0; HEADER],
            frames: 0,
        }
    }

    /// The beginning of what a server sends, which has no preface but its first frame.
    pub(super) const fn of_server() -> Self {
        Self {
            part: Part::Header,
            left: HEADER,
            ..Self::of_client()
        }
    }

    /// Takes in what passed, and gives each frame whose header is complete, with the number of those that
    /// were complete before it.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame, u64)) {
        while !bytes.is_empty() {
            let count = self.left.min(bytes.len());
            let (these, rest) = bytes.split_at_checked(count).unwrap_or_default();
            if let Some(frame) = self.part(these) {
                each(frame, self.frames);
            }
            self.end_part();
            bytes = rest;
        }
    }

    /// How many bytes there are until a frame ends, or its length is known.
    pub(super) fn until_boundary(&self) -> usize {
        self.left
    }

    /// Frames that are complete.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Takes in bytes of one part; gives the frame once its header is complete.
    fn part(&mut self, bytes: &[u8]) -> Option<Frame> {
        let in_header = matches!(self.part, Part::Header);
        let at = HEADER.saturating_sub(self.left);
        if in_header && let Some(place) = self.header.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.left -= bytes.len();
        (in_header && self.left == 0).then(|| Frame::of(self.header))
    }

    /// Goes on to the next part where one is complete.
    fn end_part(&mut self) {
        if self.left > 0 {
            return;
        }
        let length = Frame::of(self.header).length;
        let after = match self.part {
            Part::Header if length > 0 => (Part::Payload, length),
            Part::Preface => (Part::Header, HEADER),
            Part::Header | Part::Payload => {
                self.frames += 1;
                (Part::Header, HEADER)
            }
        };
        (self.part, self.left) = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the bytes are cut, the frames are the same.
    #[test]
    fn finds_frames_at_every_cut() {
        let frame = |kind, flags, length: u8| {
            let mut frame = vec![0, 0, length, kind, flags, 0x80, 0, 0, 1];
            frame.resize(HEADER + usize::from(length), b'x');
            frame
        };
        let bytes = [PREFACE, &frame(4, 0, 6), &frame(0, 1, 0), &frame(1, 0, 3)].concat();
        for cut in 0..bytes.len() {
            let (mut walk, mut seen) = (Walk::of_client(), Vec::new());
            for part in [&bytes[..cut], &bytes[cut..]] {
                walk.pass(part, |frame, before| {
                    seen.push((before, frame.kind, frame.length));
                });
            }
            assert_eq!(seen, [(0, 4, 6), (1, 0, 0), (2, 1, 3)]);
            assert_eq!((walk.frames(), walk.until_boundary()), (3, HEADER));
        }
    }
}
