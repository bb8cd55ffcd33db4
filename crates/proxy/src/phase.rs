//! What this process does while others of its kind may run beside it: one enum, one table.

use std::sync::atomic::{AtomicU8, Ordering};

use roost_wire::Role;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Everything was taken over, or there was nothing to take: begin.
    Begin,
    /// Another process takes over.
    Take,
    /// It did not come to it.
    TakeBack,
    /// It has.
    Taken,
    /// The process has to end.
    Stop,
}

/// The phase in force.
#[derive(Debug)]
pub(crate) struct Phase(AtomicU8);

const ROLES: [Role; 5] = [
    Role::Standby,
    Role::Serving,
    Role::Handing,
    Role::Draining,
    Role::Stopping,
];

impl Phase {
    /// The first one.
    pub(crate) fn new(role: Role) -> Self {
        Self(AtomicU8::new(role as u8))
    }

    /// The one in force.
    pub(crate) fn role(&self) -> Role {
        let at = usize::from(self.0.load(Ordering::Acquire));
        ROLES.get(at).copied().unwrap_or(Role::Stopping)
    }

    /// Goes on to the next phase; `false` when `turn` means nothing in this one. The control thread's
    /// alone.
    pub(crate) fn turn(&self, turn: Turn) -> bool {
        let Some(next) = next(self.role(), turn) else {
            return false;
        };
        self.0.store(next as u8, Ordering::Release);
        true
    }
}

/// The table of transitions.
const fn next(role: Role, turn: Turn) -> Option<Role> {
    match (role, turn) {
        (Role::Standby, Turn::Begin) | (Role::Handing, Turn::TakeBack) => Some(Role::Serving),
        (Role::Serving, Turn::Take) => Some(Role::Handing),
        (Role::Handing, Turn::Taken) => Some(Role::Draining),
        (_, Turn::Stop) => Some(Role::Stopping),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers kept are those of the roles.
    #[test]
    fn keeps_each_role() {
        for role in ROLES {
            assert_eq!(Phase::new(role).role(), role);
        }
    }

    /// Who hands over may take it back until the other one has begun, and never later.
    #[test]
    fn turns_as_the_table_says() {
        let phase = Phase::new(Role::Standby);
        assert!(!phase.turn(Turn::Take) && phase.turn(Turn::Begin));
        assert!(phase.turn(Turn::Take) && !phase.turn(Turn::Take));
        assert!(phase.turn(Turn::TakeBack) && phase.turn(Turn::Take) && phase.turn(Turn::Taken));
        assert!(!phase.turn(Turn::TakeBack) && !phase.turn(Turn::Begin));
        assert!(phase.turn(Turn::Stop));
        assert_eq!(phase.role(), Role::Stopping);
    }
}
