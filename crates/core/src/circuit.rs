//! Whether a Machine that does not answer is left alone for a while (passive ejection).
//!
//! It is about calls that reach nobody: a connection that times out, is aborted, or is reset before
//! the first byte. A *refused* connection is not among them: such a Machine gets no calls until its
//! port accepts (`Readiness`), which is tried by the prober and is over sooner.

use crate::Micros;

/// Broken calls in a row after which a Machine is left alone.
pub(crate) const MAX_BROKEN: u8 = 3;
/// How long the first time; each time in a row twice as long.
const FIRST_PAUSE: Micros = 1_000_000;
/// How long at most.
const LONGEST_PAUSE: Micros = 30_000_000;

/// One service of a Machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Circuit {
    /// Takes calls.
    Closed {
        /// Broken calls in a row.
        broken: u8,
    },
    /// Takes none before `until`, then one to try it.
    Open {
        /// The end of the pause.
        until: Micros,
        /// Pauses in a row before this one.
        round: u8,
    },
    /// One call is trying it; others take it for open.
    Trial {
        /// Pauses in a row so far.
        round: u8,
    },
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// A call was sent there.
    Called,
    /// The Machine answered one, or its port accepted.
    Answered,
    /// A call broke.
    Broken {
        /// Another Machine could take its calls.
        replaceable: bool,
    },
    /// A call ended without telling.
    Silent,
}

impl Default for Circuit {
    fn default() -> Self {
        Self::Closed { broken: 0 }
    }
}

impl Circuit {
    /// The one table.
    pub(crate) fn after(self, sign: Sign, now: Micros) -> Self {
        match (self, sign) {
            (_, Sign::Answered) => Self::default(),
            (Self::Closed { broken }, Sign::Broken { replaceable }) => {
                let broken = broken.saturating_add(1).min(MAX_BROKEN);
                if broken == MAX_BROKEN && replaceable {
                    Self::open(0, now)
                } else {
                    Self::Closed { broken }
                }
            }
            (Self::Open { until, round }, Sign::Called) if now >= until => Self::Trial { round },
            (Self::Trial { round }, Sign::Broken { .. }) => {
                Self::open(round.saturating_add(1), now)
            }
            (Self::Trial { round }, Sign::Silent) => Self::Open { until: now, round },
            (same, _) => same,
        }
    }

    fn open(round: u8, now: Micros) -> Self {
        let until = now.saturating_add(pause(round));
        Self::Open { until, round }
    }

    /// Whether it takes no call now.
    pub(crate) fn is_out(self, now: Micros) -> bool {
        match self {
            Self::Closed { .. } => false,
            Self::Open { until, .. } => now < until,
            Self::Trial { .. } => true,
        }
    }

    /// How long it is left alone, when it was opened just now.
    pub(crate) const fn pause(self) -> Option<Micros> {
        match self {
            Self::Open { round, .. } => Some(pause(round)),
            _ => None,
        }
    }
}

const fn pause(round: u8) -> Micros {
    let factor = if round < 5 { 1 << round } else { 32 };
    let pause = FIRST_PAUSE * factor;
    if pause < LONGEST_PAUSE {
        pause
    } else {
        LONGEST_PAUSE
    }
}

#[cfg(test)]
mod tests {
    use super::Circuit::{self, Closed, Open, Trial};
    use super::Sign::{self, Answered, Broken, Called, Silent};

    const NOW: u64 = 50_000_000;
    const GONE: Sign = Broken { replaceable: true };
    const LAST: Sign = Broken { replaceable: false };

    fn open(seconds: u64, round: u8) -> Circuit {
        let until = NOW + seconds * 1_000_000;
        Open { until, round }
    }

    /// Every state meets every sign.
    #[test]
    fn the_table() {
        let resting = open(1, 0);
        let ripe = Open {
            until: NOW,
            round: 2,
        };
        let trial = Trial { round: 2 };
        let closed = Closed { broken: 0 };
        let rows = [
            (closed, Called, closed),
            (closed, Silent, closed),
            (closed, GONE, Closed { broken: 1 }),
            (Closed { broken: 1 }, GONE, Closed { broken: 2 }),
            (Closed { broken: 2 }, GONE, open(1, 0)),
            (Closed { broken: 2 }, LAST, Closed { broken: 3 }),
            (Closed { broken: 3 }, LAST, Closed { broken: 3 }),
            (Closed { broken: 3 }, GONE, open(1, 0)),
            (Closed { broken: 2 }, Answered, closed),
            (resting, Called, resting),
            (resting, GONE, resting),
            (resting, Silent, resting),
            (resting, Answered, closed),
            (ripe, Called, trial),
            (ripe, GONE, ripe),
            (ripe, Answered, closed),
            (trial, Called, trial),
            (trial, Answered, closed),
            (trial, GONE, open(8, 3)),
            (trial, LAST, open(8, 3)),
            (
                trial,
                Silent,
                Open {
                    until: NOW,
                    round: 2,
                },
            ),
        ];
        for (from, sign, to) in rows {
            assert_eq!(from.after(sign, NOW), to, "{from:?} {sign:?}");
        }
    }

    /// Pauses double up to half a minute, however often it goes on.
    #[test]
    fn pauses_grow_and_are_bounded() {
        let pauses = [0, 1, 2, 3, 4, 5, 200, 255].map(|round| super::pause(round) / 1_000_000);
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(Trial { round: 255 }.after(GONE, NOW), open(30, 255));
    }

    /// A Machine is out while it rests and while it is tried, and not at the end of its rest.
    #[test]
    fn is_out() {
        let states = [
            Closed { broken: 2 },
            open(1, 0),
            open(0, 0),
            Trial { round: 0 },
        ];
        assert_eq!(
            states.map(|state| state.is_out(NOW)),
            [false, true, false, true]
        );
    }
}
