//! Wakes the clients that wait for nothing when the process ends.
//!
//! Each connection's task leaves its waker here once; it looks at [`crate::shared::Shared::stopping`]
//! when it is woken. Per request this costs nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::task::Waker;

#[derive(Default)]
struct Tasks {
    next: u64,
    wakers: HashMap<u64, Waker>,
}

thread_local! {
    static TASKS: RefCell<Tasks> = RefCell::default();
}

/// The place of one connection's task among those of its thread.
#[derive(Debug, Default)]
pub(super) struct Wakeable(Option<u64>);

impl Wakeable {
    /// Remembers the task, the first time.
    pub(super) fn register(&mut self, waker: &Waker) {
        if self.0.is_none() {
            self.0 = Some(TASKS.with_borrow_mut(|tasks| {
                tasks.next += 1;
                tasks.wakers.insert(tasks.next, waker.clone());
                tasks.next
            }));
        }
    }
}

impl Drop for Wakeable {
    fn drop(&mut self) {
        if let Some(place) = self.0 {
            // The waker is dropped outside: it may be the last hold on a task with a place of its own.
            let waker = TASKS.with_borrow_mut(|tasks| tasks.wakers.remove(&place));
            drop(waker);
        }
    }
}

/// Wakes every connection of this thread, after `stopping` became true.
pub(crate) fn wake_all() {
    TASKS.with_borrow(|tasks| tasks.wakers.values().for_each(Waker::wake_by_ref));
}
