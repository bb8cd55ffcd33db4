//! The bound on log lines: so many a second for each app, the rest counted.

use std::collections::HashMap;
use std::sync::Mutex;

use roost_wire::Name;

use crate::shared::lock;

/// Lines of one app within a second.
const LINES_PER_SECOND: u32 = 100;

/// The code of a call that is not allowed.
pub(crate) const NOT_ALLOWED: &str = "RA01";
/// The code of a call without the PROXY header that its port asks for.
pub(crate) const NO_HEADER: &str = "RA02";

/// The code of a call by a source that has too many connections.
pub(crate) const CROWDED: &str = "RA03";

/// What the codes of handshakes that fail begin with.
const OF_TLS: &str = "PT";

/// What a line says.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) message: Name,
    /// The request it is about.
    pub(crate) request: Option<Name>,
}

impl From<String> for Text {
    fn from(message: String) -> Self {
        Self {
            message: message.into(),
            request: None,
        }
    }
}

/// How many lines each app has written within the current second.
#[derive(Debug, Default)]
pub(crate) struct AppLog {
    written: Mutex<HashMap<Name, Written>>,
}

/// Calls that are not allowed, those of a source that has too many, and those that begin as none may, count for
/// themselves: what anybody may cause must not hide the rest.
#[derive(Debug, Default)]
struct Written {
    not_allowed: u32,
    crowded: u32,
    misbegun: u32,
    other: u32,
}

impl AppLog {
    /// Counts a line with this code and says whether it may be written.
    pub(crate) fn admit(&self, app: &str, code: Option<&str>) -> bool {
        let mut written = lock(&self.written);
        if let Some(written) = written.get_mut(app) {
            return written.admit(code);
        }
        written.entry(app.into()).or_default().admit(code)
    }

    /// Starts a new second; gives the apps that wrote too much, and how many lines were left out.
    pub(crate) fn next_second(&self) -> Vec<(Name, u32)> {
        let written = std::mem::take(&mut *lock(&self.written));
        let over = written
            .into_iter()
            .map(|(app, written)| (app, written.left_out()));
        over.filter(|(_, count)| *count > 0).collect()
    }
}

impl Written {
    fn admit(&mut self, code: Option<&str>) -> bool {
        let count = match code {
            Some(NOT_ALLOWED) => &mut self.not_allowed,
            Some(CROWDED) => &mut self.crowded,
            Some(code) if code == NO_HEADER || code.starts_with(OF_TLS) => &mut self.misbegun,
            _ => &mut self.other,
        };
        *count = count.saturating_add(1);
        *count <= LINES_PER_SECOND
    }

    fn left_out(&self) -> u32 {
        let over = |count: u32| count.saturating_sub(LINES_PER_SECOND);
        let counts = [self.not_allowed, self.crowded, self.misbegun, self.other];
        counts.map(over).into_iter().fold(0, u32::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hundred-and-first line of a second is left out, counted, and the next second is free.
    #[test]
    fn bounds_lines_per_second() {
        let log = AppLog::default();
        let admitted = (0..130).filter(|_| log.admit("a", Some("PR01"))).count();
        assert_eq!(admitted, 100);
        assert!(log.admit("b", None) && !log.admit("a", None));
        assert_eq!(log.next_second(), vec![(Name::from("a"), 31)]);
        assert!(log.admit("a", None));
    }

    /// However many lines there are of what anybody may cause, others are told of, and the other way round.
    #[test]
    fn what_anybody_may_cause_hides_nothing() {
        let log = AppLog::default();
        let admitted = |codes: [&str; 2]| {
            let lines = (0..130).filter(|at| log.admit("a", Some(codes[at % 2])));
            lines.count()
        };
        for codes in [
            ["RA01", "RA01"],
            ["RA03", "RA03"],
            ["RA02", "PT04"],
            ["PR01", "PU02"],
        ] {
            assert_eq!(admitted(codes), 100, "{codes:?}");
        }
        assert_eq!(log.next_second(), vec![(Name::from("a"), 120)]);
    }
}
