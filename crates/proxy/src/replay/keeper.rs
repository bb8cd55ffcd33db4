//! How much of request bodies is kept to be sent again: bounded for each request, each app and in all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::app::AppHandle;
use crate::shared::Shared;

/// Kept for one request at most, whatever the settings say.
const MOST: usize = 10 << 20;
/// Kept for the callers of one app.
const MOST_OF_APP: usize = 32 << 20;
/// Kept in all.
const MOST_IN_ALL: usize = 128 << 20;

/// What is kept for one request; dropping it gives the room back.
#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    app: Arc<AppHandle>,
    limit: usize,
    kept: usize,
}

impl Keeper {
    /// Keeps up to `limit` bytes for a caller of `app`.
    pub(crate) fn new(shared: &Arc<Shared>, app: &Arc<AppHandle>, limit: usize) -> Self {
        Self {
            shared: shared.clone(),
            app: app.clone(),
            limit: limit.min(MOST),
            kept: 0,
        }
    }

    /// Whether so many bytes could be kept.
    pub(crate) fn fits(&self, bytes: u64) -> bool {
        bytes <= self.limit as u64
    }

    /// Room for so many bytes more, or none.
    pub(crate) fn reserve(&mut self, bytes: usize) -> bool {
        if self.kept + bytes > self.limit || !take(&self.app.kept, bytes, MOST_OF_APP) {
            return false;
        }
        if !take(&self.shared.kept, bytes, MOST_IN_ALL) {
            self.app.kept.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.kept += bytes;
        true
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.app.kept.fetch_sub(self.kept, Ordering::Relaxed);
        self.shared.kept.fetch_sub(self.kept, Ordering::Relaxed);
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
