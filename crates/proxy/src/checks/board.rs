//! What a Machine's checks said last, and which of it is news.

use roost_wire::{CheckResult, CheckStatus, Name};

/// Milliseconds between two lines about a check that goes on failing, each time for another reason.
const REASON_EVERY_MS: u64 = 1_000;
/// A check that changes all the time is told of so often at once,
const TOLD_AT_ONCE: u64 = 8;
/// and then once in so many milliseconds.
const TOLD_EVERY_MS: u64 = 5_000;

/// The results of one life of a Machine.
#[derive(Debug, Default)]
pub(super) struct Board {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    name: Name,
    /// `None` before the first run of a Machine that was running before it was heard of: the agent may
    /// know its results of before.
    result: Option<CheckResult>,
    told_at: u64,
    /// The agent does not know of `result`.
    owed: bool,
    /// Up to when it has been said as often as it may.
    paid_until: u64,
}

impl Board {
    /// A board for these checks; they are critical until they pass, unless nothing is known of them.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a Name>, known: bool, now_ms: u64) -> Self {
        let lines = names
            .map(|name| Line {
                name: name.clone(),
                result: (!known).then(|| CheckResult {
                    name: name.clone(),
                    status: CheckStatus::Critical,
                    output: Name::default(),
                    at: now_ms,
                }),
                told_at: now_ms,
                owed: false,
                paid_until: 0,
            })
            .collect();
        Self { lines }
    }

    /// Everything that is known.
    pub(super) fn results(&self) -> Vec<CheckResult> {
        let known = |line: &Line| line.result.clone();
        self.lines.iter().filter_map(known).collect()
    }

    /// Takes a result in and gives it back when it is to be told: another status, the first reason of a
    /// failure, another reason after a while, or what was not told before. What changes all the time is told of
    /// now and then.
    pub(super) fn note(
        &mut self,
        name: &Name,
        status: CheckStatus,
        output: &str,
        now_ms: u64,
    ) -> Option<CheckResult> {
        let line = self.lines.iter_mut().find(|line| line.name == *name)?;
        let before = line.result.as_ref().filter(|one| one.status == status);
        let at = before.map_or(now_ms, |before| before.at);
        let is_news = before.is_none_or(|before| line.is_reason(before, output, now_ms));
        if !is_news && !line.owed {
            return None;
        }
        line.result = Some(CheckResult {
            name: name.clone(),
            status,
            output: output.into(),
            at,
        });
        line.owed = !line.may_tell(now_ms);
        line.result.clone().filter(|_| !line.owed)
    }

    /// The agent was not told of these results.
    pub(super) fn untold(&mut self, results: &[CheckResult]) {
        for line in &mut self.lines {
            line.owed |= results.iter().any(|result| result.name == line.name);
        }
    }
}

impl Line {
    /// Whether a failure like the one `before` has a reason worth telling.
    fn is_reason(&self, before: &CheckResult, output: &str, now_ms: u64) -> bool {
        let failing = before.status != CheckStatus::Passing;
        let first = before.output.is_empty();
        let waited = now_ms.abs_diff(self.told_at) >= REASON_EVERY_MS;
        failing && *before.output != *output && (first || waited)
    }

    /// Whether it may be said now; then it counts as said.
    fn may_tell(&mut self, now_ms: u64) -> bool {
        // Counted from long before 1970, so that nothing is below zero.
        let now = now_ms.saturating_add(TOLD_AT_ONCE * TOLD_EVERY_MS);
        let earliest = now - (TOLD_AT_ONCE - 1) * TOLD_EVERY_MS;
        // The host's clock may have been set back.
        let latest = now.saturating_add(TOLD_EVERY_MS);
        self.paid_until = self.paid_until.clamp(earliest, latest);
        let may = self.paid_until <= now;
        if may {
            self.paid_until += TOLD_EVERY_MS;
            self.told_at = now_ms;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::Board;
    use roost_wire::CheckStatus::{Critical, Passing};
    use roost_wire::Name;

    /// News are changes of the status, and reasons of a failure, these seldom; `at` is when the status
    /// changed.
    #[test]
    fn what_is_news() {
        let name = Name::from("web");
        let mut board = Board::new([&name].into_iter(), false, 1_000);
        let rows = [
            (1_010, Critical, "refused", Some(1_000)),
            (1_020, Critical, "refused", None),
            (1_030, Critical, "503", None),
            (2_010, Critical, "503", Some(1_000)),
            (2_020, Passing, "200", Some(2_020)),
            (9_000, Passing, "200 other", None),
            (9_001, Critical, "refused", Some(9_001)),
        ];
        for (now, status, output, expected) in rows {
            let told = board.note(&name, status, output, now);
            assert_eq!(told.map(|one| one.at), expected, "{now}");
        }
        assert_eq!(&*board.results()[0].output, "refused");
        assert!(board.note(&"other".into(), Passing, "", 1).is_none());
    }

    /// Of a Machine that was running before nothing is told until its first run.
    #[test]
    fn nothing_is_told_before_it_is_known() {
        let name = Name::from("web");
        let mut board = Board::new([&name].into_iter(), true, 1_000);
        assert!(board.results().is_empty());
        assert!(board.note(&name, Critical, "refused", 1_001).is_some());
    }

    /// A check that changes at each run is told of now and then, in the end as it is.
    #[test]
    fn what_changes_all_the_time_is_told_seldom() {
        let name = Name::from("web");
        let mut board = Board::new([&name].into_iter(), false, 0);
        let status = |second: u64| {
            if second.is_multiple_of(2) {
                Passing
            } else {
                Critical
            }
        };
        let told = (0..100).filter(|second| {
            let output = format!("{second}");
            let now = 100_000 + second * 1_000;
            board.note(&name, status(*second), &output, now).is_some()
        });
        assert!((20..=28).contains(&told.count()));
        let last =
            (0..6).find_map(|second| board.note(&name, Passing, "ok", 200_000 + second * 1_000));
        assert_eq!(
            last.map(|one| (one.status, one.at)),
            Some((Passing, 200_000))
        );
        assert!(board.note(&name, Passing, "ok", 210_000).is_none());
        // However far the clock is set back, it is not silent for long.
        for second in 0..9 {
            board.note(&name, status(second), "flap", 211_000);
        }
        let back = (0..7).filter(|second| {
            board
                .note(&name, status(*second), "x", second * 1_000)
                .is_some()
        });
        assert!(back.count() > 0);
    }

    /// What found no room on its way to the agent is told with the next run, though it is no news then.
    #[test]
    fn what_was_not_told_is_told_later() {
        let name = Name::from("web");
        let mut board = Board::new([&name].into_iter(), false, 1_000);
        let result = board
            .note(&name, Passing, "200", 1_010)
            .into_iter()
            .collect::<Vec<_>>();
        board.untold(&result);
        let again = board.note(&name, Passing, "200", 2_010);
        assert_eq!(again.map(|one| one.at), Some(1_010));
        assert!(board.note(&name, Passing, "200", 3_010).is_none());
    }
}
