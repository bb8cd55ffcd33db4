//! The line of those who wait for a Machine of one app: first come, first served.

use std::collections::VecDeque;

use roost_wire::{Name, TransportPort};

use crate::Micros;
use crate::balance::Ask;
use crate::decision::{Refusal, Request, WaiterId};
use crate::wish::Wish;

/// One who waits.
#[derive(Debug, Clone)]
pub(crate) struct Waiter {
    pub(crate) id: WaiterId,
    pub(crate) port: TransportPort,
    pub(crate) exclude: Vec<Name>,
    pub(crate) wish: Option<Box<Wish>>,
    pub(crate) since: Micros,
    /// What to say when nothing is left to hope for.
    pub(crate) failure: Option<Refusal>,
    held_bytes: usize,
}

impl Waiter {
    /// What it asks for.
    pub(crate) fn ask(&self) -> Ask<'_> {
        Ask {
            port: self.port,
            exclude: &self.exclude,
            wish: self.wish.as_deref(),
        }
    }
}

/// Who waits in vain at this moment: of those who ask for the same nobody has to be looked at again.
#[derive(Debug, Default)]
pub(crate) struct Blocked(Vec<(TransportPort, Option<Box<Wish>>)>);

/// Different asks that are remembered.
const MAX_BLOCKED: usize = 16;

impl Blocked {
    pub(crate) fn has(&self, waiter: &Waiter) -> bool {
        let same = |(port, wish): &(_, _)| *port == waiter.port && *wish == waiter.wish;
        waiter.exclude.is_empty() && self.0.iter().any(same)
    }

    pub(crate) fn add(&mut self, waiter: &Waiter) {
        if waiter.exclude.is_empty() && self.0.len() < MAX_BLOCKED {
            self.0.push((waiter.port, waiter.wish.clone()));
        }
    }
}

/// The line, with sums that would be slow to compute each time.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    line: VecDeque<Waiter>,
    by_port: Vec<(TransportPort, usize)>,
    held_bytes: usize,
    next: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, request: Request<'_>, now: Micros) -> WaiterId {
        self.next += 1;
        let id = WaiterId(self.next);
        self.line.push_back(Waiter {
            id,
            port: request.port,
            exclude: request.exclude.to_vec(),
            wish: request.wish.cloned().map(Box::new),
            since: now,
            failure: None,
            held_bytes: request.held_bytes,
        });
        self.held_bytes += request.held_bytes;
        self.count(request.port);
        id
    }

    pub(crate) fn remove(&mut self, id: WaiterId) -> Option<Waiter> {
        // Ids grow along the line.
        let at = self
            .line
            .binary_search_by_key(&id, |waiter| waiter.id)
            .ok()?;
        let waiter = self.line.remove(at)?;
        self.held_bytes -= waiter.held_bytes;
        if let Some(entry) = self
            .by_port
            .iter_mut()
            .find(|(port, _)| *port == waiter.port)
        {
            entry.1 -= 1;
        }
        self.by_port.retain(|(_, count)| *count > 0);
        Some(waiter)
    }

    /// Takes the whole line out, to be given back shortened by [`Self::restore`].
    pub(crate) fn take(&mut self) -> VecDeque<Waiter> {
        std::mem::take(&mut self.line)
    }

    pub(crate) fn restore(&mut self, line: VecDeque<Waiter>) {
        self.line = line;
        self.by_port.clear();
        self.held_bytes = 0;
        for at in 0..self.line.len() {
            if let Some((port, bytes)) = self.line.get(at).map(|one| (one.port, one.held_bytes)) {
                self.held_bytes += bytes;
                self.count(port);
            }
        }
    }

    fn count(&mut self, port: TransportPort) {
        match self.by_port.iter_mut().find(|(known, _)| *known == port) {
            Some((_, count)) => *count += 1,
            None => self.by_port.push((port, 1)),
        }
    }

    pub(crate) fn waits_for(&self, port: TransportPort) -> bool {
        self.by_port.iter().any(|(known, _)| *known == port)
    }

    /// The external ports somebody waits for, each once.
    pub(crate) fn ports(&self) -> impl Iterator<Item = TransportPort> {
        self.by_port.iter().map(|(port, _)| *port)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Waiter> {
        self.line.iter_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.line.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}
