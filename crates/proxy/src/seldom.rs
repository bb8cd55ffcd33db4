//! Says now and then what would be said all the time.

use std::sync::atomic::{AtomicU64, Ordering};

use roost_core::Micros;

/// How long silence lasts after something was said.
const SILENCE: Micros = 1_000_000;

/// Due at most once a second, over all threads.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    /// When it may be said again.
    next: AtomicU64,
}

impl Seldom {
    /// Whether it is to be said at `now`; then not again for a second.
    pub(crate) fn is_due(&self, now: Micros) -> bool {
        let next = self.next.load(Ordering::Relaxed);
        let later = now.saturating_add(SILENCE);
        let first = || {
            let exchanged =
                self.next
                    .compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed);
            exchanged.is_ok()
        };
        now >= next && first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of all that comes within a second only the first is said.
    #[test]
    fn is_due_once_a_second() {
        let seldom = Seldom::default();
        let due = [5, 6, 1_000_004, 1_000_005, 1_000_006, 9_000_000].map(|at| seldom.is_due(at));
        assert_eq!(due, [true, false, false, true, false, true]);
    }
}
