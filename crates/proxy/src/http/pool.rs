//! Unused connections to Machines, of one worker thread.
//!
//! A connection rests here between two requests, for a few seconds at most, so that a Machine that is
//! put to sleep has none open. Nobody reads it meanwhile; the runtime only remembers that something
//! arrived, which for an unused connection can only be its end, and [`Pool::take`] then drops it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use roost_wire::Name;
use tokio::net::TcpStream;

/// Unused connections to one Machine, of one thread.
const MAX_PER_MACHINE: usize = 256;
/// Unused connections of one thread.
const MAX_IN_ALL: usize = 2048;
/// How often the pool is looked through in the time that a connection may rest.
const TICKS: u32 = 4;

/// What a pooled connection leads to. A Machine with a new configuration is another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) machine: &'a Name,
    pub(super) instance: &'a Name,
    pub(super) internal_port: u16,
}

/// The pool of one worker thread.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    inner: Rc<RefCell<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    by_machine: HashMap<Name, Vec<Resting>>,
    count: usize,
    tick: u64,
    sweeping: bool,
}

#[derive(Debug)]
struct Resting {
    stream: TcpStream,
    instance: Name,
    internal_port: u16,
    since: u64,
}

impl Pool {
    /// An empty pool.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Closes every unused connection to a Machine.
    pub(crate) fn purge(&self, machine: &str) {
        let mut inner = self.inner.borrow_mut();
        if let Some(resting) = inner.by_machine.remove(machine) {
            inner.count -= resting.len();
        }
    }

    /// Closes every unused connection.
    pub(crate) fn purge_all(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.by_machine.clear();
        inner.count = 0;
    }

    /// The connection to `place` that was used last and is still open.
    pub(super) fn take(&self, place: Place<'_>) -> Option<TcpStream> {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let resting = inner.by_machine.get_mut(place.machine)?;
        while let Some(found) = resting.pop() {
            inner.count -= 1;
            let same =
                found.internal_port == place.internal_port && found.instance == *place.instance;
            if same && is_quiet(&found.stream) {
                return Some(found.stream);
            }
        }
        None
    }

    /// Keeps a connection for `rest`. Must be called on the worker's thread, inside its runtime.
    pub(super) fn put(&self, place: Place<'_>, stream: TcpStream, rest: Duration) {
        let mut guard = self.inner.borrow_mut();
        let inner = &mut *guard;
        if inner.count >= MAX_IN_ALL {
            return;
        }
        if !inner.by_machine.contains_key(place.machine) {
            inner.by_machine.insert(place.machine.clone(), Vec::new());
        }
        let Some(resting) = inner.by_machine.get_mut(place.machine) else {
            return;
        };
        if resting.len() >= MAX_PER_MACHINE {
            return;
        }
        resting.push(Resting {
            stream,
            instance: place.instance.clone(),
            internal_port: place.internal_port,
            since: inner.tick,
        });
        inner.count += 1;
        if !std::mem::replace(&mut inner.sweeping, true) {
            drop(guard);
            tokio::task::spawn_local(sweep(Rc::downgrade(&self.inner), rest));
        }
    }
}

/// Nothing arrived on a connection that rests: neither its end nor bytes that nobody asked for.
fn is_quiet(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Closes what rested too long, until nothing rests.
async fn sweep(pool: Weak<RefCell<Inner>>, rest: Duration) {
    loop {
        tokio::time::sleep((rest / TICKS).max(Duration::from_millis(1))).await;
        let Some(pool) = pool.upgrade() else { return };
        if pool.borrow_mut().sweep() {
            return;
        }
    }
}

impl Inner {
    /// Drops what is too old; true when the sweeper may end.
    fn sweep(&mut self) -> bool {
        self.tick += 1;
        let oldest = self.tick.saturating_sub(u64::from(TICKS));
        self.by_machine.retain(|_, resting| {
            resting.retain(|one| one.since > oldest || oldest == 0);
            !resting.is_empty()
        });
        self.count = self.by_machine.values().map(Vec::len).sum();
        self.sweeping = self.count > 0;
        !self.sweeping
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    /// What was taken of a pool that has a connection to port 1 of the version `a` of a Machine.
    async fn taken(instance: &str, internal_port: u16) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (opened, _accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (pool, machine) = (Pool::new(), Name::from("m"));
        let place = |instance, internal_port| Place {
            machine: &machine,
            instance,
            internal_port,
        };
        let (rest, first) = (Duration::from_secs(60), Name::from("a"));
        pool.put(place(&first, 1), opened.unwrap(), rest);
        pool.take(place(&Name::from(instance), internal_port))
            .is_some()
    }

    /// A connection is used again for the same port of the same version of the Machine, and no other.
    #[test]
    fn a_connection_leads_to_one_place() {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().build_local(LocalOptions::default());
        runtime.unwrap().block_on(async {
            assert!(taken("a", 1).await);
            assert!(!taken("b", 1).await && !taken("a", 2).await);
        });
    }
}
