//! How much of the host one network's DNS may hold.
//!
//! A Machine may ask whatever and as often as it likes. The bounds of a network and of a Machine keep it
//! from taking what others need; the bound over all keeps the process from running out of descriptors.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::source::machine_of;

/// Queries on their way to the host's resolvers, of all networks: each holds a socket.
static ALL_FORWARDS: Semaphore = Semaphore::const_new(1024);
/// The same of one network on one thread.
const FORWARDS: Bounds = Bounds {
    all: 128,
    of_machine: 64,
};
/// TCP connections of one network on one thread.
const CONNECTIONS: Bounds = Bounds {
    all: 128,
    of_machine: 16,
};

/// How many there may be on one network.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    all: usize,
    /// Of these, by one Machine.
    of_machine: usize,
}

/// Counts one network's queries to the host's resolvers.
#[derive(Debug)]
pub(super) struct Forwards {
    own: Places,
}

/// Room for one query to the host's resolvers, given back when dropped.
#[derive(Debug)]
pub(super) struct Admission {
    _own: Place,
    _all: SemaphorePermit<'static>,
}

/// Counts what the Machines of one network hold.
#[derive(Debug, Clone)]
pub(super) struct Places {
    bounds: Bounds,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_machine: HashMap<u128, usize>,
}

/// One of what is counted, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    taken: Arc<Mutex<Taken>>,
    machine: u128,
}

// === impl Forwards ===

impl Default for Forwards {
    fn default() -> Self {
        Self {
            own: Places::of(FORWARDS),
        }
    }
}

impl Forwards {
    /// Room for one more of `peer`'s; none when its Machine, the network or the process has enough under way.
    pub(super) fn admit(&self, peer: SocketAddr) -> Option<Admission> {
        Some(Admission {
            _own: self.own.take(peer)?,
            _all: ALL_FORWARDS.try_acquire().ok()?,
        })
    }
}

// === impl Places ===

impl Places {
    /// For TCP connections.
    pub(super) fn for_connections() -> Self {
        Self::of(CONNECTIONS)
    }

    fn of(bounds: Bounds) -> Self {
        Self {
            bounds,
            taken: Arc::default(),
        }
    }

    /// A place for `peer`; none when its Machine or the network has enough.
    pub(super) fn take(&self, peer: SocketAddr) -> Option<Place> {
        let machine = machine_of(peer.ip());
        let mut taken = lock(&self.taken);
        let own = taken.by_machine.get(&machine).copied().unwrap_or(0);
        if taken.all >= self.bounds.all || own >= self.bounds.of_machine {
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
        let places = Places::for_connections();
        let held: Vec<_> = (0..CONNECTIONS.of_machine)
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
        let places = Places::for_connections();
        let held: Vec<_> = (0..CONNECTIONS.all)
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

    /// A network with enough queries under way leaves room for the others, and so does a Machine on its network.
    #[test]
    fn no_one_takes_all_forwards() {
        let (busy, calm) = (Forwards::default(), Forwards::default());
        let ask = |forwards: &Forwards, machine: usize| {
            forwards.admit(peer(&format!("fdaa:0:1:0:2:0:{machine:x}:2")))
        };
        let held: Vec<_> = (0..FORWARDS.all)
            .map(|number| ask(&busy, number / FORWARDS.of_machine).unwrap())
            .collect();
        assert!(ask(&busy, 9).is_none());
        let held: Vec<_> = held.into_iter().skip(FORWARDS.of_machine).collect();
        assert!(ask(&busy, 1).is_none() && ask(&busy, 0).is_some() && ask(&calm, 1).is_some());
        drop(held);
        assert!(ask(&busy, 1).is_some());
    }
}
