//! Handshakes that wait for a certificate to be issued.

use std::collections::HashMap;
use std::sync::Mutex;

use roost_wire::{Name, Up};
use tokio::sync::oneshot;

use super::loaded::Issue;
use crate::shared::lock;

/// Handshakes that may wait for one certificate.
const MAX_EACH: usize = 256;
/// Certificates that are waited for at once.
const MAX_ISSUES: usize = 1024;

/// What one who waits is told: that something came, or why nothing will.
pub(super) type News = Result<(), Name>;

/// Who waits for what.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    waiting: Mutex<HashMap<Issue, Vec<oneshot::Sender<News>>>>,
}

impl Awaited {
    /// A place among those who wait, and whether it is the first; `None` when there is no room.
    pub(super) fn wait(&self, issue: &Issue) -> Option<(oneshot::Receiver<News>, bool)> {
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= MAX_ISSUES && !waiting.contains_key(issue) {
            waiting.retain(|_, tellers| has_listeners(tellers));
        }
        if waiting.len() >= MAX_ISSUES && !waiting.contains_key(issue) {
            return None;
        }
        let tellers = waiting.entry(issue.clone()).or_default();
        if tellers.len() >= MAX_EACH {
            has_listeners(tellers);
        }
        if tellers.len() >= MAX_EACH {
            return None;
        }
        let first = tellers.is_empty();
        let (teller, told) = oneshot::channel();
        tellers.push(teller);
        Some((told, first))
    }

    /// Whether anybody waits for a certificate.
    pub(super) fn is_awaited(&self, issue: &Issue) -> bool {
        let mut waiting = lock(&self.waiting);
        waiting.get_mut(issue).is_some_and(has_listeners)
    }

    /// Tells all who wait for a certificate.
    pub(super) fn tell(&self, issue: &Issue, news: &News) {
        let tellers = lock(&self.waiting).remove(issue);
        for teller in tellers.into_iter().flatten() {
            // Who went away need not know.
            let _ = teller.send(news.clone());
        }
    }

    /// What is to be asked for again.
    pub(crate) fn wishes(&self) -> Vec<Up> {
        let mut waiting = lock(&self.waiting);
        waiting.retain(|_, tellers| has_listeners(tellers));
        waiting.keys().map(wish).collect()
    }
}

/// Asks for a certificate.
pub(super) fn wish((app, audience): &Issue) -> Up {
    Up::Certificate {
        app: app.clone(),
        audience: audience.clone(),
    }
}

/// Forgets those who went away, and says whether anybody is left.
fn has_listeners(tellers: &mut Vec<oneshot::Sender<News>>) -> bool {
    tellers.retain(|teller| !teller.is_closed());
    !tellers.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(app: &str) -> Issue {
        (app.into(), "o".into())
    }

    /// Who waits is told once, who went away is neither told nor asked for.
    #[test]
    fn tells_those_who_wait() {
        let awaited = Awaited::default();
        let (mut one, first) = awaited.wait(&issue("a")).unwrap();
        let (gone, second) = awaited.wait(&issue("b")).unwrap();
        assert!(first && second && awaited.wishes().len() == 2);
        drop(gone);
        assert_eq!(awaited.wishes(), vec![wish(&issue("a"))]);
        awaited.tell(&issue("a"), &Err("no".into()));
        assert_eq!(one.try_recv(), Ok(Err("no".into())));
        assert!(awaited.wishes().is_empty());
    }

    /// Those of one certificate are bounded, and who leaves makes room.
    #[test]
    fn bounds_those_who_wait() {
        let awaited = Awaited::default();
        let mut all: Vec<_> = (0..MAX_EACH)
            .map(|_| awaited.wait(&issue("a")).unwrap())
            .collect();
        assert!(awaited.wait(&issue("a")).is_none());
        assert!(awaited.wait(&issue("b")).is_some());
        all.pop();
        assert!(awaited.wait(&issue("a")).is_some());
    }
}
