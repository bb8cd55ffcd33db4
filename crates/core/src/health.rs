//! What the health checks of one service say of a Machine.

use roost_wire::{Check, Name};

/// What one check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// Has not passed since the Machine came up, and may still do so: it is in its grace period.
    Untried,
    /// The last run passed.
    Passing,
    /// The last run failed.
    Failing,
}

/// What happens to a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// The Machine came up.
    Began,
    /// A run passed.
    Passed,
    /// A run failed.
    Failed {
        /// Within the grace period.
        early: bool,
    },
}

impl Health {
    /// The one table: one failure flips, one pass flips back.
    const fn after(self, sign: Sign) -> Self {
        match (self, sign) {
            (_, Sign::Began) | (Self::Untried, Sign::Failed { early: true }) => Self::Untried,
            (_, Sign::Passed) => Self::Passing,
            (_, Sign::Failed { .. }) => Self::Failing,
        }
    }
}

/// The checks of one service of a Machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checkup {
    checks: Vec<Checked>,
    /// Somebody waits, so that those that have not passed yet are run at once.
    pub(crate) hurried: bool,
}

#[derive(Debug, Clone)]
struct Checked {
    name: Name,
    health: Health,
    /// Has passed since the Machine came up.
    proven: bool,
}

impl Checkup {
    /// Takes the checks that count now. Those that were there keep what they said.
    pub(crate) fn define<'a>(&mut self, checks: impl Iterator<Item = &'a Check>) {
        let old = std::mem::take(&mut self.checks);
        self.checks = checks
            .map(|check| {
                let known = old.iter().find(|one| one.name == check.name).cloned();
                known.unwrap_or(Checked {
                    name: check.name.clone(),
                    health: Health::Untried,
                    proven: false,
                })
            })
            .collect();
    }

    /// The Machine came up: nothing is known of it.
    pub(crate) fn begin(&mut self) {
        self.hurried = false;
        for check in &mut self.checks {
            check.health = check.health.after(Sign::Began);
            check.proven = false;
        }
    }

    /// A check was run; `false` when it is none of these.
    pub(crate) fn note(&mut self, name: &str, sign: Sign) -> bool {
        let Some(check) = self.checks.iter_mut().find(|one| *one.name == *name) else {
            return false;
        };
        check.health = check.health.after(sign);
        check.proven |= sign == Sign::Passed;
        true
    }

    /// All of them together: the worst counts. Without any, passing.
    pub(crate) fn health(&self) -> Health {
        let any = |health: Health| self.checks.iter().any(|check| check.health == health);
        if any(Health::Failing) {
            Health::Failing
        } else if any(Health::Untried) {
            Health::Untried
        } else {
            Health::Passing
        }
    }

    /// A check has not passed since the Machine came up.
    pub(crate) fn is_unproven(&self) -> bool {
        self.checks.iter().any(|check| !check.proven)
    }

    /// The names of those that do not pass.
    pub(crate) fn not_passing(&self) -> impl Iterator<Item = &Name> {
        let bad = |check: &&Checked| check.health != Health::Passing;
        self.checks.iter().filter(bad).map(|check| &check.name)
    }
}

#[cfg(test)]
mod tests {
    use super::Health::{self, Failing, Passing, Untried};
    use super::Sign::{self, Began, Failed, Passed};

    /// Every state meets every sign.
    #[test]
    fn the_table() {
        let (early, late) = (Failed { early: true }, Failed { early: false });
        let rows: [(Sign, [Health; 3]); 4] = [
            (Began, [Untried, Untried, Untried]),
            (Passed, [Passing, Passing, Passing]),
            (early, [Untried, Failing, Failing]),
            (late, [Failing, Failing, Failing]),
        ];
        for (sign, expected) in rows {
            let found = [Untried, Passing, Failing].map(|health| health.after(sign));
            assert_eq!(found, expected, "{sign:?}");
        }
    }
}
