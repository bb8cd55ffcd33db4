//! The bound on log lines: so many a second for each app, the rest counted.

use std::collections::HashMap;
use std::sync::Mutex;

use roost_wire::Name;

use crate::shared::lock;

/// Lines of one app within a second.
const LINES_PER_SECOND: u32 = 100;

/// How many lines each app has written within the current second.
#[derive(Debug, Default)]
pub(crate) struct AppLog {
    written: Mutex<HashMap<Name, u32>>,
}

impl AppLog {
    /// Counts a line and says whether it may be written.
    pub(crate) fn admit(&self, app: &str) -> bool {
        let mut written = lock(&self.written);
        if let Some(count) = written.get_mut(app) {
            *count = count.saturating_add(1);
            return *count <= LINES_PER_SECOND;
        }
        written.insert(app.into(), 1);
        true
    }

    /// Starts a new second; gives the apps that wrote too much, and how many lines were left out.
    pub(crate) fn next_second(&self) -> Vec<(Name, u32)> {
        let written = std::mem::take(&mut *lock(&self.written));
        let over = written
            .into_iter()
            .filter(|(_, count)| *count > LINES_PER_SECOND);
        over.map(|(app, count)| (app, count - LINES_PER_SECOND))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hundred-and-first line of a second is left out, counted, and the next second is free.
    #[test]
    fn bounds_lines_per_second() {
        let log = AppLog::default();
        let admitted = (0..130).filter(|_| log.admit("a")).count();
        assert_eq!(admitted, 100);
        assert!(log.admit("b"));
        assert_eq!(log.next_second(), vec![(Name::from("a"), 30)]);
        assert!(log.admit("a"));
    }
}
