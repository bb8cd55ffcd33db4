//! Notices that nothing happens any more, without reading a clock for what does happen.
//!
//! A timer ticks a few times per limit for as long as the connection lives. Work only counts up a
//! number; a tick at which the number has not changed brings the end nearer. So a limit is kept with
//! the precision of one tick, always on the late side.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Ticks in the shortest limit.
const TICKS: u32 = 4;
const SHORTEST_TICK: Duration = Duration::from_millis(2);

/// Counts what happens on a connection.
#[derive(Debug, Default)]
pub(crate) struct Activity(Cell<u32>);

impl Activity {
    /// Something happened.
    pub(crate) fn note(&self) {
        self.0.set(self.0.get().wrapping_add(1));
    }
}

/// The timer of one connection.
#[derive(Debug)]
pub(crate) struct Watchdog {
    timer: Pin<Box<Sleep>>,
    tick: Duration,
    quiet_ticks: u32,
    seen: u32,
}

impl Watchdog {
    /// A timer fine enough for limits of `shortest` and more.
    pub(crate) fn new(shortest: Duration) -> Self {
        let tick = (shortest / TICKS).max(SHORTEST_TICK);
        Self {
            timer: Box::pin(sleep(tick)),
            tick,
            quiet_ticks: 0,
            seen: 0,
        }
    }

    /// Starts a new limit.
    pub(crate) fn begin(&mut self) {
        self.quiet_ticks = 0;
    }

    /// Ready when `limit` has passed since [`Self::begin`], or since the latest activity if given.
    pub(crate) fn poll_expired(
        &mut self,
        cx: &mut Context<'_>,
        limit: Duration,
        activity: Option<&Activity>,
    ) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let next = Instant::now() + self.tick;
            self.timer.as_mut().reset(next);
            self.quiet_ticks += 1;
            if let Some(now) = activity.map(|activity| activity.0.get())
                && now != self.seen
            {
                self.seen = now;
                self.quiet_ticks = 0;
            }
            // The first tick of a limit may come at once, so one more than fit into it.
            if self.tick * self.quiet_ticks > limit {
                return Poll::Ready(());
            }
        }
    }
}
