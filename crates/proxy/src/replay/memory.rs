//! The replays that one app has remembered, within what those of all apps may take.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use roost_replay::{Cached, Directive, Invalid, Lookup, ReplayCache};
use roost_wire::Name;

use super::keeper::Kept;
use crate::shared::lock;

/// Bytes of all apps' remembered replays, about.
pub(crate) const MOST_IN_ALL: usize = 64 << 20;

/// The remembered replays of one app. What does not fit is not remembered: the app is asked each time.
#[derive(Debug)]
pub(crate) struct Memory {
    /// There is something in it.
    any: AtomicBool,
    inner: Mutex<Inner>,
    room: Arc<Kept>,
}

#[derive(Debug, Default)]
struct Inner {
    cache: ReplayCache,
    org: Name,
    /// Bytes of the room that are taken for it.
    taken: usize,
}

impl Memory {
    /// An empty one, which takes its room from there.
    pub(crate) fn new(room: Arc<Kept>) -> Self {
        Self {
            any: AtomicBool::new(false),
            inner: Mutex::default(),
            room,
        }
    }

    /// The replay that is remembered for a request. Looks at no lock while none is.
    pub(crate) fn find(&self, lookup: Lookup<'_>) -> Option<Cached> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut inner = lock(&self.inner);
        let found = inner.cache.find(lookup);
        self.settle(&mut inner);
        found
    }

    /// Remembers a replay of an app of `org`, if it or a rule says so.
    pub(crate) fn remember(
        &self,
        org: &Name,
        lookup: Lookup<'_>,
        directive: &Arc<Directive>,
        by: &Name,
    ) -> Result<(), Invalid> {
        if directive.cache.is_none() && lookup.rules.is_empty() {
            return Ok(());
        }
        let mut inner = lock(&self.inner);
        if inner.taken == 0 {
            inner.org = org.clone();
        }
        inner.cache.remember(lookup, directive, by)?;
        if !self.settle(&mut inner) {
            inner.cache.forget(lookup);
            self.settle(&mut inner);
        }
        Ok(())
    }

    /// Forgets the replays that are remembered for a request.
    pub(crate) fn forget(&self, lookup: Lookup<'_>) {
        let mut inner = lock(&self.inner);
        inner.cache.forget(lookup);
        self.settle(&mut inner);
    }

    /// Takes or gives back room, by what there is now; `false` when there is no room for it.
    fn settle(&self, inner: &mut Inner) -> bool {
        let (entries, bytes) = inner.cache.size();
        self.any.store(entries > 0, Ordering::Release);
        let more = bytes.saturating_sub(inner.taken);
        if more > 0 && !self.room.take(&inner.org, more) {
            return false;
        }
        let less = inner.taken.saturating_sub(bytes);
        if less > 0 {
            self.room.give(&inner.org, less);
        }
        inner.taken = bytes;
        true
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let inner = lock(&self.inner);
        self.room.give(&inner.org, inner.taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roost_http1::FinishedHead;
    use roost_replay::{Rule, RuleKind};

    fn fill(memory: &Memory, org: &str, from: usize) {
        let rules = [Rule::new("/", RuleKind::Cookie("id".to_owned()), 10, false).unwrap()];
        let order = Arc::new(Directive {
            app: Some("b".into()),
            ..Directive::default()
        });
        for id in from..from + 100 {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: id={id}\r\n\r\n");
            let lookup = Lookup {
                port: 80,
                head: FinishedHead::new(head.as_bytes()),
                rules: &rules,
                now: 0,
            };
            let by = "m".into();
            memory.remember(&org.into(), lookup, &order, &by).unwrap();
        }
    }

    fn size(memory: &Memory) -> (usize, usize) {
        lock(&memory.inner).cache.size()
    }

    /// Apps of one organization share what is there for it, others have room, and all of it is given back.
    #[test]
    fn apps_share_one_room() {
        let room = Arc::new(Kept::new(64 << 10));
        let [one, two, other] = [(); 3].map(|()| Memory::new(room.clone()));
        fill(&one, "x", 0);
        let (entries, bytes) = size(&one);
        assert!(entries > 10 && entries < 100 && bytes <= 32 << 10);
        fill(&two, "x", 0);
        assert!(size(&two).0 <= 1);
        fill(&other, "y", 0);
        assert!(size(&other).0 > 10);
        drop((one, two));
        fill(&other, "y", 100);
        assert!(size(&other).1 > 16 << 10);
        drop(other);
        assert_eq!(room.all(), 0);
    }
}
