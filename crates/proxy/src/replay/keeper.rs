//! How much of request bodies is kept to be sent again: bounded for each request, each app, each organization
//! and in all.
//!
//! An organization has at most as much as is left for the others, so whoever keeps a lot never takes all, and
//! of several that want all they can get each has the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use roost_core::Micros;
use roost_wire::Name;

use crate::app::AppHandle;
use crate::shared::{Shared, lock};

/// Kept for one request at most, whatever the settings say.
const MOST: usize = 10 << 20;
/// Kept for the callers of one app that replays.
const MOST_OF_APP: usize = 32 << 20;
/// Kept for the callers of an app that has not done so for a while, or never: its first replay works too.
const MOST_OF_QUIET_APP: usize = 4 << 20;
/// How long an app counts as one that replays.
const MEMORY: Micros = 600_000_000;
/// Kept in all.
const MOST_IN_ALL: usize = 128 << 20;

/// Why something was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unkept {
    /// It is larger than what is kept of one request.
    TooLarge,
    /// Others' bodies fill the room.
    NoRoom,
}

/// Room that organizations share: each has at most as much of it as is left for the others.
#[derive(Debug)]
pub(crate) struct Kept {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_org: HashMap<Name, usize>,
}

impl Kept {
    /// So many bytes of room.
    pub(crate) fn new(most: usize) -> Self {
        let taken = Mutex::default();
        Self { most, taken }
    }

    /// The room for request bodies.
    pub(crate) fn for_bodies() -> Self {
        Self::new(MOST_IN_ALL)
    }

    /// Takes so many bytes more for an organization, if it may have them.
    pub(crate) fn take(&self, org: &Name, bytes: usize) -> bool {
        let mut taken = lock(&self.taken);
        let left = self.most.saturating_sub(taken.all);
        let after = taken.by_org.get(org).copied().unwrap_or_default() + bytes;
        let fits = after <= left.saturating_sub(bytes);
        if fits {
            taken.all += bytes;
            taken.by_org.insert(org.clone(), after);
        }
        fits
    }

    /// Gives what was taken back.
    pub(crate) fn give(&self, org: &Name, bytes: usize) {
        let mut taken = lock(&self.taken);
        if let Some(mine) = taken.by_org.get_mut(org) {
            *mine = mine.saturating_sub(bytes);
            if *mine == 0 {
                taken.by_org.remove(org);
            }
            taken.all = taken.all.saturating_sub(bytes);
        }
    }

    /// What is taken by all.
    pub(crate) fn all(&self) -> usize {
        lock(&self.taken).all
    }
}

/// What is kept for one request; dropping it gives the room back.
#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    app: Arc<AppHandle>,
    org: Name,
    limit: usize,
    of_app: usize,
    kept: usize,
}

impl Keeper {
    /// Keeps up to `limit` bytes for a caller of `app`; `ruled` says that its port has rules for replays.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        app: &Arc<AppHandle>,
        limit: usize,
        ruled: bool,
    ) -> Self {
        let replays = ruled || app.replayed_since(shared.now().saturating_sub(MEMORY));
        Self {
            shared: shared.clone(),
            app: app.clone(),
            org: shared.org_of(&app.name),
            limit: limit.min(MOST),
            of_app: if replays {
                MOST_OF_APP
            } else {
                MOST_OF_QUIET_APP
            },
            kept: 0,
        }
    }

    /// Whether so many bytes could be kept.
    pub(crate) fn fits(&self, bytes: u64) -> bool {
        bytes <= self.limit as u64
    }

    /// Room for so many bytes more.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<(), Unkept> {
        if self.kept + bytes > self.limit {
            return Err(Unkept::TooLarge);
        }
        if !take(&self.app.kept, bytes, self.of_app) {
            return Err(Unkept::NoRoom);
        }
        if !self.shared.kept.take(&self.org, bytes) {
            self.app.kept.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Unkept::NoRoom);
        }
        self.kept += bytes;
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.app.kept.fetch_sub(self.kept, Ordering::Relaxed);
        self.shared.kept.give(&self.org, self.kept);
    }
}

fn take(counter: &AtomicUsize, bytes: usize, most: usize) -> bool {
    let before = counter.fetch_add(bytes, Ordering::Relaxed);
    let fits = before + bytes <= most;
    if !fits {
        counter.fetch_sub(bytes, Ordering::Relaxed);
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However much one organization wants, there is room for others, and what is given back is free again.
    #[test]
    fn nobody_takes_all() {
        let (kept, piece) = (Kept::for_bodies(), 1 << 20);
        let all = |org: &str| (0..1000).filter(|_| kept.take(&org.into(), piece)).count();
        let (one, two, three) = (all("one"), all("two"), all("three"));
        assert_eq!((one, two, three), (64, 32, 16));
        kept.give(&"one".into(), one * piece);
        assert!(all("two") > 0);
        kept.give(&"one".into(), piece);
        assert_eq!(lock(&kept.taken).by_org.len(), 2);
    }
}
