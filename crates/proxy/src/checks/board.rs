//! What a Machine's checks said last, and which of it is news.

use roost_wire::{CheckResult, CheckStatus, Name};

/// Milliseconds between two lines about a check that goes on failing, each time for another reason.
const REASON_EVERY_MS: u64 = 1_000;

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
            })
            .collect();
        Self { lines }
    }

    /// Everything that is known.
    pub(super) fn results(&self) -> Vec<CheckResult> {
        let known = |line: &Line| line.result.clone();
        self.lines.iter().filter_map(known).collect()
    }

    /// Takes a result in and gives it back when it is news: another status, the first reason of a
    /// failure, or another reason after a while.
    pub(super) fn note(
        &mut self,
        name: &Name,
        status: CheckStatus,
        output: &str,
        now_ms: u64,
    ) -> Option<CheckResult> {
        let line = self.lines.iter_mut().find(|line| line.name == *name)?;
        let at = match &line.result {
            Some(before) if before.status == status => {
                let first = before.output.is_empty();
                let waited = now_ms.saturating_sub(line.told_at) >= REASON_EVERY_MS;
                let failing = status != CheckStatus::Passing;
                let news = failing && *before.output != *output && (first || waited);
                if !news {
                    return None;
                }
                before.at
            }
            _ => now_ms,
        };
        line.told_at = now_ms;
        line.result = Some(CheckResult {
            name: name.clone(),
            status,
            output: output.into(),
            at,
        });
        line.result.clone()
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
}
