//! How much of the host one network's DNS may hold.
//!
//! A Machine may ask whatever and as often as it likes. The bounds of a network (and, for
//! connections, of a Machine) keep it from taking what others need; the bound over all keeps the
//! process from running out of descriptors.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::source::machine_of;

/// Queries on their way to the host's resolvers, of all networks: each holds a socket.
static ALL_FORWARDS: Semaphore = Semaphore::const_new(1024);
/// The same of one network on one thread.
const FORWARDS: usize = 128;
/// TCP connections of one network on one thread.
const CONNECTIONS: usize = 128;
/// Of these, by one Machine.
const CONNECTIONS_PER_MACHINE: usize = 16;

/// Counts one network's queries to the host's resolvers.
#[derive(Debug)]
pub(super) struct Forwards {
    own: Arc<Semaphore>,
}

/// Room for one query to the host's resolvers, given back when dropped.
#[derive(Debug)]
pub(super) struct Admission {
    _own: OwnedSemaphorePermit,
    _all: SemaphorePermit<'static>,
}

/// Counts one network's TCP connections.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_machine: HashMap<u128, usize>,
}

/// One TCP connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    taken: Arc<Mutex<Taken>>,
    machine: u128,
}

// === impl Forwards ===

impl Default for Forwards {
    fn default() -> Self {
        Self {
            own: Arc::new(Semaphore::new(FORWARDS)),
        }
    }
}

impl Forwards {
    /// Room for one more; none when this network or the process has enough under way.
    pub(super) fn admit(&self) -> Option<Admission> {
        Some(Admission {
            _own: self.own.clone().try_acquire_owned().ok()?,
            _all: ALL_FORWARDS.try_acquire().ok()?,
        })
    }
}

// === impl Places ===

impl Places {
    /// A place for a connection from `peer`; none when its Machine or the network has enough.
    pub(super) fn take(&self, peer: SocketAddr) -> Option<Place> {
        let machine = machine_of(peer.ip());
        let mut taken = lock(&self.taken);
        let own = taken.by_machine.get(&machine).copied().unwrap_or(0);
        if taken.all >= CONNECTIONS || own >= CONNECTIONS_PER_MACHINE {
            return None;
        }
        taken.all += 1;
        taken.by_machine.insert(machine, own + 1);
        Some(Place {
            taken: self.taken.clone(),
            machine,
        })
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all = taken.all.saturating_sub(1);
        match taken.by_machine.get_mut(&self.machine) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                taken.by_machine.remove(&self.machine);
            }
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 1)
    }

    /// A Machine gets its share of connections, whatever addresses of its own it uses, and no more.
    #[test]
    fn one_machine_cannot_take_all_places() {
        let places = Places::default();
        let held: Vec<_> = (0..CONNECTIONS_PER_MACHINE)
            .map(|number| {
                places
                    .take(peer(&format!("fdaa:0:1:0:2:0:5:{number:x}")))
                    .unwrap()
            })
            .collect();
        assert!(places.take(peer("fdaa:0:1:0:2:0:5:ffff")).is_none());
        assert!(places.take(peer("fdaa:0:1:0:2:0:6:2")).is_some());
        drop(held);
        assert!(places.take(peer("fdaa:0:1:0:2:0:5:2")).is_some());
        assert_eq!(0, lock(&places.taken).by_machine.len());
    }

    /// A network gets its share of connections and no more.
    #[test]
    fn one_network_cannot_take_more_places() {
        let places = Places::default();
        let held: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                places
                    .take(peer(&format!("fdaa:0:1:0:2:0:{number:x}:2")))
                    .unwrap()
            })
            .collect();
        assert!(places.take(peer("fdaa:0:1:0:2:1:0:2")).is_none());
        drop(held);
        assert!(places.take(peer("fdaa:0:1:0:2:1:0:2")).is_some());
    }

    /// A network with enough queries under way leaves room for the others.
    #[test]
    fn one_network_cannot_take_all_forwards() {
        let (busy, calm) = (Forwards::default(), Forwards::default());
        let held: Vec<_> = (0..FORWARDS).map(|_| busy.admit().unwrap()).collect();
        assert!(busy.admit().is_none());
        assert!(calm.admit().is_some());
        drop(held);
        assert!(busy.admit().is_some());
    }
}
