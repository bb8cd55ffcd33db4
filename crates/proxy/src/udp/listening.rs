//! The sockets at which datagrams arrive, shared by who takes them and the flows that answer by them.
//!
//! A flow may go on after its place was closed, and keeps the socket open until then. A second socket at the same
//! place would get only some of the datagrams, and the first one the others, for nobody: so what is open still is
//! used again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use roost_wire::SocketKind;

use crate::netns::Netns;
use crate::sockets::Sockets;
use crate::udp::socket::Listener;

/// A namespace by its identity, and where in it.
type At = ((u64, u64), SocketAddr);

/// The sockets of one worker.
#[derive(Default)]
pub(super) struct Listening {
    known: RefCell<HashMap<At, Vec<Weak<Listener>>>>,
}

impl Listening {
    /// The sockets at a place: those inherited, else those that are open still, else a new one. Inside the worker's
    /// runtime.
    pub(super) fn open(
        &self,
        sockets: &Arc<Sockets>,
        netns: &Netns,
        at: SocketAddr,
        worker: usize,
    ) -> io::Result<Vec<Rc<Listener>>> {
        let place = (netns.identity(), at);
        let mut known = self.known.borrow_mut();
        let still = known.get(&place).into_iter().flatten();
        let still: Vec<Rc<Listener>> = still.filter_map(Weak::upgrade).collect();
        if !still.is_empty() && !sockets.inherits(netns, at, SocketKind::Udp, worker) {
            return Ok(still);
        }
        let opened = sockets.udp(netns, at, worker)?.into_iter();
        let opened = opened.map(|socket| Ok(Rc::new(Listener::new(socket, at)?)));
        let opened: Vec<Rc<Listener>> = opened.collect::<io::Result<_>>()?;
        if known.len() == known.capacity() {
            known.retain(|_, all| all.iter().any(|one| one.strong_count() > 0));
        }
        known.insert(place, opened.iter().map(Rc::downgrade).collect());
        Ok(opened)
    }
}
