//! Notices a peer that sends frames without end which carry no request and cost it nothing (RFC 9113, 10.5).
//!
//! The library answers each of them, and holds no more than one answer, so the memory is bounded without
//! this; the work is not. What a peer gets it may answer: some clients make room for each frame with data and
//! measure by a PING how long it takes, so each that was sent allows a few. Whether frames are valid is the
//! library's matter, but for two things that it takes or has no name for: what is first, and lengths.

use std::rc::Weak;
use std::time::{Duration, Instant};

use h2::Reason;

use super::carried::Carried;
use super::frames::{
    ACK, CONTINUATION, DATA, END_STREAM, Frame, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, Walk,
};

/// Frames of no use that may come at once.
const BURST: u32 = 1000;
/// Such frames per second that are forgotten.
const PER_SECOND: u32 = 50;
/// Such frames that may come for each head and each part of a body that was sent: room for its stream and for
/// its connection, a PING, and new settings. Streams are given up only as often as there was a head.
const FOR_EACH: u32 = 4;

/// Whose connection it is.
#[derive(Debug)]
pub(super) enum Side {
    /// A client's.
    Client,
    /// A Machine's, with what it carries.
    Machine(Weak<Carried>),
}

/// What a peer has sent that is of no use.
#[derive(Debug)]
pub(super) struct Meter {
    side: Side,
    theirs: Walk,
    ours: Walk,
    useless: Useless,
    fault: Option<Reason>,
}

#[derive(Debug)]
struct Useless {
    count: u32,
    /// How many more may come for what was sent.
    earned: u32,
    /// How many streams more may be given up after a head was sent.
    begun: u32,
    forgotten: Instant,
}

impl Meter {
    /// The beginning of a connection.
    pub(super) fn new(side: Side, now: Instant) -> Self {
        let (client, server) = (Walk::of_client(), Walk::of_server());
        let (theirs, ours) = match side {
            Side::Client => (client, server),
            Side::Machine(_) => (server, client),
        };
        Self {
            side,
            theirs,
            ours,
            useless: Useless {
                count: 0,
                earned: 0,
                begun: 0,
                forgotten: now,
            },
            fault: None,
        }
    }

    /// Takes in what the peer sent.
    pub(super) fn read(&mut self, bytes: &[u8], now: Instant) {
        let Self {
            side,
            theirs,
            useless,
            fault,
            ..
        } = self;
        theirs.pass(bytes, |frame, before| {
            let found = if before == 0 && !begins(frame) {
                Some(Reason::PROTOCOL_ERROR)
            } else if is_misfit(frame) {
                Some(Reason::FRAME_SIZE_ERROR)
            } else {
                let flood = side.is_too_much(frame)
                    || (is_useless(frame) && useless.are_too_many(frame, now));
                flood.then_some(Reason::ENHANCE_YOUR_CALM)
            };
            *fault = fault.or(found);
        });
    }

    /// Takes in what was sent to the peer.
    pub(super) fn wrote(&mut self, bytes: &[u8]) {
        let Useless { earned, begun, .. } = &mut self.useless;
        self.ours.pass(bytes, |frame, _| {
            if matches!(frame.kind, DATA | HEADERS) {
                *earned = earned.saturating_add(FOR_EACH);
            }
            if frame.kind == HEADERS {
                *begun = begun.saturating_add(1);
            }
        });
    }

    /// How many bytes there are until a frame of the peer ends, or its length is known.
    pub(super) fn until_boundary(&self) -> usize {
        self.theirs.until_boundary()
    }

    /// Frames of the peer that are complete.
    pub(super) fn frames(&self) -> u64 {
        self.theirs.frames()
    }

    /// Why the connection has to end.
    pub(super) fn fault(&self) -> Option<Reason> {
        self.fault
    }
}

impl Side {
    /// Heads need no room, so those that nobody has read yet are counted.
    fn is_too_much(&self, frame: Frame) -> bool {
        match self {
            Self::Machine(carried) if frame.kind == HEADERS => carried
                .upgrade()
                .is_some_and(|carried| !carried.admits_head(frame.stream)),
            Self::Machine(_) | Self::Client => false,
        }
    }
}

impl Useless {
    /// Counts one more.
    fn are_too_many(&mut self, frame: Frame, now: Instant) -> bool {
        let allowed = match frame.kind {
            RST_STREAM => &mut self.begun,
            _ => &mut self.earned,
        };
        if *allowed > 0 {
            *allowed -= 1;
            return false;
        }
        let passed = now.duration_since(self.forgotten);
        if passed >= Duration::from_secs(1) {
            let seconds = u32::try_from(passed.as_secs()).unwrap_or(u32::MAX);
            let forgotten = seconds.saturating_mul(PER_SECOND);
            self.count = self.count.saturating_sub(forgotten);
            self.forgotten = now;
        }
        self.count += 1;
        self.count > BURST
    }
}

/// Whether a peer's first frame may be this one (RFC 9113, 3.4).
const fn begins(frame: Frame) -> bool {
    frame.kind == SETTINGS && !frame.has(ACK)
}

/// Frames that carry nothing a peer could want in numbers: all but those with a body or a head in them.
const fn is_useless(frame: Frame) -> bool {
    match frame.kind {
        DATA => frame.length == 0 && !frame.has(END_STREAM),
        HEADERS => false,
        CONTINUATION => frame.length == 0,
        _ => true,
    }
}

/// Frames of a kind that has one length, with another (RFC 9113, 6.3 to 6.9). The library ends the
/// connection for them too, and does not say why.
const fn is_misfit(frame: Frame) -> bool {
    match frame.kind {
        PRIORITY => frame.length != 5,
        RST_STREAM | WINDOW_UPDATE => frame.length != 4,
        SETTINGS if frame.has(ACK) => frame.length != 0,
        SETTINGS => !frame.length.is_multiple_of(6),
        PING => frame.length != 8,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::PREFACE;
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.resize(9 + usize::from(length), b'x');
        frame
    }

    fn begun(now: Instant) -> Meter {
        let mut meter = Meter::new(Side::Client, now);
        meter.read(PREFACE, now);
        meter.read(&frame(4, 0, 0), now);
        meter
    }

    /// Frames of no use are a flood once they come faster than they are forgotten.
    #[test]
    fn forgets_with_time() {
        let now = Instant::now();
        let mut meter = begun(now);
        for count in 1..BURST {
            meter.read(&frame(3, 0, 4), now);
            assert!(meter.fault().is_none(), "{count}");
        }
        meter.read(&frame(8, 0, 4), now + Duration::from_secs(2));
        assert_eq!(meter.useless.count, BURST + 1 - 2 * PER_SECOND);
        for _ in 0..2 * PER_SECOND {
            meter.read(&frame(6, 0, 8), now);
        }
        assert_eq!(meter.fault(), Some(Reason::ENHANCE_YOUR_CALM));
    }

    /// Each part of a response that was sent allows a few frames, and no other frame does.
    #[test]
    fn answers_to_what_was_sent_are_no_flood() {
        let now = Instant::now();
        let mut meter = begun(now);
        for _ in 0..BURST {
            meter.wrote(&frame(0, 0, 1));
            meter.wrote(&frame(6, 1, 8));
            for _ in 0..FOR_EACH {
                meter.read(&frame(6, 0, 8), now);
            }
        }
        assert_eq!((meter.useless.count, meter.fault()), (1, None));
    }

    /// What was sent of bodies allows nobody to give up streams whose heads were not sent.
    #[test]
    fn streams_are_given_up_as_often_as_they_were_answered() {
        let now = Instant::now();
        let mut meter = begun(now);
        for _ in 0..BURST {
            meter.wrote(&frame(0, 0, 1));
            meter.wrote(&frame(1, 4, 1));
            meter.read(&frame(3, 0, 4), now);
        }
        assert_eq!((meter.useless.count, meter.fault()), (1, None));
        for _ in 0..BURST {
            meter.read(&frame(3, 0, 4), now);
        }
        assert_eq!(meter.fault(), Some(Reason::ENHANCE_YOUR_CALM));
    }

    /// Neither an answer to settings nor anything else may be first.
    #[test]
    fn settings_are_first() {
        let now = Instant::now();
        for (kind, flags, length) in [(4, 1, 0), (6, 0, 8), (b'P', 0, 4)] {
            let mut meter = Meter::new(Side::Machine(Weak::new()), now);
            meter.read(&frame(kind, flags, length), now);
            assert_eq!(meter.fault(), Some(Reason::PROTOCOL_ERROR));
        }
    }
}
