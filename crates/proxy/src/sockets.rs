//! The sockets that callers come to: opened or inherited, known while they are open, given away whole.
//!
//! A listener that is closed loses the connections that wait in it, and one of several at the same place
//! (`SO_REUSEPORT`) does so too. So the process that takes over gets the very sockets, of all workers, and
//! uses each of them, however many workers it has itself. Whatever callers come to has to be made here.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};

use roost_wire::{SocketAt, SocketKind};
use tokio::net::{TcpListener, UdpSocket};

use crate::netns::Netns;
use crate::shared::lock;

/// A socket that may be handed to another process.
pub(crate) type Lasting = Arc<dyn AsFd + Send + Sync>;

/// All of them.
#[derive(Default)]
pub(crate) struct Sockets {
    open: Mutex<Open>,
    inherited: Mutex<HashMap<(SocketAt, usize), Vec<OwnedFd>>>,
    workers: usize,
}

#[derive(Default)]
struct Open {
    next: u64,
    all: HashMap<u64, (SocketAt, Lasting)>,
}

/// A socket in use; it stays open as long as this or somebody who gives it away has it.
pub(crate) struct Held<S> {
    socket: Arc<S>,
    sockets: Arc<Sockets>,
    number: u64,
}

impl std::fmt::Debug for Sockets {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Sockets").finish_non_exhaustive()
    }
}

impl<S> Deref for Held<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.socket
    }
}

impl<S> Drop for Held<S> {
    fn drop(&mut self) {
        let gone = lock(&self.sockets.open).all.remove(&self.number);
        drop(gone);
    }
}

impl Sockets {
    /// None yet, for so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers,
            ..Self::default()
        }
    }

    /// The listeners of one worker at a place: those inherited, else a new one. Inside its runtime.
    pub(crate) fn tcp(
        self: &Arc<Self>,
        netns: &Netns,
        at: SocketAddr,
        worker: usize,
    ) -> io::Result<Vec<Held<TcpListener>>> {
        let place = place(netns, at, SocketKind::Tcp);
        let mut found: Vec<std::net::TcpListener> = self.take(place, worker);
        if found.is_empty() {
            found.push(netns.listen(at)?);
        }
        let held = found.into_iter();
        held.map(|one| Ok(self.hold(place, TcpListener::from_std(one)?)))
            .collect()
    }

    /// As [`Self::tcp`], for datagrams.
    pub(crate) fn udp(
        self: &Arc<Self>,
        netns: &Netns,
        at: SocketAddr,
        worker: usize,
    ) -> io::Result<Vec<Held<UdpSocket>>> {
        let place = place(netns, at, SocketKind::Udp);
        let mut found: Vec<std::net::UdpSocket> = self.take(place, worker);
        if found.is_empty() {
            found.push(netns.udp(at)?);
        }
        let held = found.into_iter();
        held.map(|one| Ok(self.hold(place, UdpSocket::from_std(one)?)))
            .collect()
    }

    /// Whether sockets of another process wait for a worker to ask for them.
    pub(crate) fn inherits(
        &self,
        netns: &Netns,
        at: SocketAddr,
        kind: SocketKind,
        worker: usize,
    ) -> bool {
        let place = place(netns, at, kind);
        lock(&self.inherited).contains_key(&(place, worker))
    }

    /// Everything that is open, kept open until the answer is dropped.
    pub(crate) fn all(&self) -> Vec<(SocketAt, Lasting)> {
        lock(&self.open).all.values().cloned().collect()
    }

    /// Keeps sockets of another process until workers ask for them, spread over the workers.
    pub(crate) fn inherit(&self, sockets: impl IntoIterator<Item = (SocketAt, OwnedFd)>) {
        let mut inherited = lock(&self.inherited);
        for (place, socket) in sockets {
            let few = |worker: &usize| inherited.get(&(place, *worker)).map_or(0, Vec::len);
            let worker = (0..self.workers).min_by_key(few).unwrap_or_default();
            inherited.entry((place, worker)).or_default().push(socket);
        }
    }

    /// Closes what was inherited and nobody asked for: nothing is served there any more.
    pub(crate) fn close_unclaimed(&self) -> usize {
        let unclaimed = std::mem::take(&mut *lock(&self.inherited));
        unclaimed.values().map(Vec::len).sum()
    }

    fn take<S: From<OwnedFd>>(&self, place: SocketAt, worker: usize) -> Vec<S> {
        let taken = lock(&self.inherited).remove(&(place, worker));
        taken.unwrap_or_default().into_iter().map(S::from).collect()
    }

    fn hold<S: AsFd + Send + Sync + 'static>(
        self: &Arc<Self>,
        place: SocketAt,
        socket: S,
    ) -> Held<S> {
        let socket = Arc::new(socket);
        let mut open = lock(&self.open);
        open.next += 1;
        let number = open.next;
        open.all.insert(number, (place, socket.clone()));
        drop(open);
        Held {
            socket,
            sockets: self.clone(),
            number,
        }
    }
}

fn place(netns: &Netns, at: SocketAddr, kind: SocketKind) -> SocketAt {
    SocketAt {
        netns: netns.identity(),
        at,
        kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(kind: SocketKind) -> SocketAt {
        SocketAt {
            netns: (4, 7),
            at: SocketAddr::from(([127, 0, 0, 1], 80)),
            kind,
        }
    }

    fn socket() -> OwnedFd {
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into()
    }

    /// Sockets of three workers come to two: each gets some, all are used, and each once.
    #[test]
    fn every_inherited_socket_finds_a_worker() {
        let sockets = Sockets::new(2);
        let place = at(SocketKind::Udp);
        sockets.inherit((0..3).map(|_| (place, socket())));
        let counts: Vec<usize> = (0..2)
            .map(|worker| sockets.take::<OwnedFd>(place, worker).len())
            .collect();
        assert_eq!(counts, [2, 1]);
        assert!(sockets.take::<OwnedFd>(place, 0).is_empty());
        assert_eq!(sockets.close_unclaimed(), 0);
    }

    /// What is asked for under another name is not given, and closed in the end.
    #[test]
    fn what_nobody_claims_is_closed() {
        let sockets = Sockets::new(1);
        sockets.inherit([(at(SocketKind::Udp), socket())]);
        assert!(sockets.take::<OwnedFd>(at(SocketKind::Tcp), 0).is_empty());
        assert_eq!(sockets.close_unclaimed(), 1);
    }
}
