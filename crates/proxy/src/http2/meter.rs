//! Follows the frames of a connection as their bytes pass, and notices a peer that sends frames without end
//! which carry no request and cost it nothing (RFC 9113, 10.5).
//!
//! The library answers each of them, and holds no more than one answer, so the memory is bounded without
//! this; the work is not. Whether frames are valid is the library's matter, but for two things that it takes
//! or has no name for: what is first, and lengths.

use std::time::{Duration, Instant};

use h2::Reason;

/// What a client sends before its first frame (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bytes of a frame before its payload.
const HEADER: usize = 9;
/// Frames of no use that may come at once.
const BURST: u32 = 1000;
/// Such frames per second that are forgotten.
const PER_SECOND: u32 = 50;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;

/// What is read next.
#[derive(Debug, Clone, Copy)]
enum Part {
    Preface,
    Header,
    Payload,
}

/// The place in what a client sends.
#[derive(Debug)]
pub(super) struct Meter {
    part: Part,
    /// Bytes missing of the part.
    left: usize,
    header: [u8; HEADER],
    frames: u64,
    useless: u32,
    forgotten: Instant,
    fault: Option<Reason>,
}

impl Meter {
    /// The beginning of a connection.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            part: Part::Preface,
            left: PREFACE.len(),
            header: [0; HEADER],
            frames: 0,
            useless: 0,
            forgotten: now,
            fault: None,
        }
    }

    /// Takes in what was read.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: Instant) {
        while !bytes.is_empty() {
            let count = self.left.min(bytes.len());
            let (these, rest) = bytes.split_at_checked(count).unwrap_or_default();
            self.part(these, now);
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

    /// Why the connection has to end.
    pub(super) fn fault(&self) -> Option<Reason> {
        self.fault
    }

    /// Takes in bytes of one part.
    fn part(&mut self, bytes: &[u8], now: Instant) {
        if matches!(self.part, Part::Header) {
            let at = HEADER - self.left;
            if let Some(place) = self.header.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
        self.left -= bytes.len();
        if self.left == 0 {
            self.next(now);
        }
    }

    /// Goes on to the next part.
    fn next(&mut self, now: Instant) {
        if matches!(self.part, Part::Header) {
            let [a, b, c, kind, flags, ..] = self.header;
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            if is_useless(kind, flags, length) {
                self.count(now);
            }
            let fault = match kind {
                _ if self.useless > BURST => Some(Reason::ENHANCE_YOUR_CALM),
                SETTINGS => None,
                _ if self.frames == 0 => Some(Reason::PROTOCOL_ERROR),
                _ => None,
            };
            let size = || is_misfit(kind, flags, length).then_some(Reason::FRAME_SIZE_ERROR);
            self.fault = self.fault.or(fault).or_else(size);
            if length > 0 {
                self.part = Part::Payload;
                self.left = length;
                return;
            }
        }
        if !matches!(self.part, Part::Preface) {
            self.frames += 1;
        }
        self.part = Part::Header;
        self.left = HEADER;
    }

    fn count(&mut self, now: Instant) {
        let passed = now.duration_since(self.forgotten);
        if passed >= Duration::from_secs(1) {
            let seconds = u32::try_from(passed.as_secs()).unwrap_or(u32::MAX);
            self.useless = self
                .useless
                .saturating_sub(seconds.saturating_mul(PER_SECOND));
            self.forgotten = now;
        }
        self.useless += 1;
    }
}

/// Frames that carry nothing a client could want in numbers: all but those with a body or a request in
/// them, and those that make room for a response, of which there are as many as there is response.
fn is_useless(kind: u8, flags: u8, length: usize) -> bool {
    match kind {
        DATA => length == 0 && flags & END_STREAM == 0,
        HEADERS | WINDOW_UPDATE => false,
        CONTINUATION => length == 0,
        _ => true,
    }
}

/// Frames of a kind that has one length, with another (RFC 9113, 6.3 to 6.9). The library ends the
/// connection for them too, and does not say why.
fn is_misfit(kind: u8, flags: u8, length: usize) -> bool {
    match kind {
        PRIORITY => length != 5,
        RST_STREAM | WINDOW_UPDATE => length != 4,
        SETTINGS if flags & ACK != 0 => length != 0,
        SETTINGS => !length.is_multiple_of(6),
        PING => length != 8,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.resize(HEADER + usize::from(length), b'x');
        frame
    }

    /// However the bytes are cut, the frames are the same.
    #[test]
    fn counts_frames_at_every_cut() {
        let bytes = [PREFACE, &frame(4, 0, 6), &frame(0, 0, 0), &frame(1, 0, 3)].concat();
        let now = Instant::now();
        for cut in 0..bytes.len() {
            let mut meter = Meter::new(now);
            meter.read(&bytes[..cut], now);
            meter.read(&bytes[cut..], now);
            assert_eq!((meter.frames(), meter.useless), (3, 2));
            assert_eq!(meter.until_boundary(), HEADER);
        }
    }

    /// Frames of no use are a flood once they come faster than they are forgotten.
    #[test]
    fn forgets_with_time() {
        let now = Instant::now();
        let mut meter = Meter::new(now);
        meter.read(PREFACE, now);
        meter.read(&frame(4, 0, 0), now);
        for count in 1..=BURST {
            assert!(meter.fault().is_none(), "{count}");
            meter.read(&frame(3, 0, 4), now);
        }
        assert!(meter.fault().is_some());
        meter.read(&frame(6, 0, 8), now + Duration::from_secs(2));
        assert_eq!(meter.useless, BURST + 2 - 2 * PER_SECOND);
    }
}
