//! The flows of one worker, by both ends.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use roost_wire::Name;

use crate::netns::Netns;
use crate::source::machine_of;
use crate::udp::bounds::FLOWS_PER_SOURCE;
use crate::udp::flow::Flow;
use crate::udp::socket::Listener;

/// Whose datagrams a flow has: a network, by a number, and both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) network: u32,
    pub(super) client: SocketAddr,
    pub(super) local: SocketAddr,
}

/// All flows of one worker.
#[derive(Default)]
pub(crate) struct Flows {
    by_key: RefCell<HashMap<Key, Rc<Flow>>>,
    by_source: Rc<RefCell<HashMap<Source, usize>>>,
    /// Numbers of networks, so that finding a flow touches nothing that threads share.
    networks: RefCell<HashMap<Name, u32>>,
    /// Sockets that answer from ports of ranges, while flows use them.
    outlets: RefCell<HashMap<(u32, SocketAddr), Weak<Listener>>>,
    buffer: RefCell<Vec<u8>>,
}

/// A network, and a Machine in it or an address outside.
type Source = (u32, u128);

/// One flow's place among those of its source; dropping it gives it back.
pub(super) struct Place {
    by_source: Rc<RefCell<HashMap<Source, usize>>>,
    source: Source,
}

/// The longest datagram.
const LONGEST: usize = 1 << 16;

impl Flows {
    /// The number of a network.
    pub(super) fn number(&self, network: &Name) -> u32 {
        let mut networks = self.networks.borrow_mut();
        let next = u32::try_from(networks.len()).unwrap_or(u32::MAX);
        *networks.entry(network.clone()).or_insert(next)
    }

    /// A buffer for any datagram; to be given back.
    pub(super) fn take_buffer(&self) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut *self.buffer.borrow_mut());
        buffer.resize(LONGEST, 0);
        buffer
    }

    pub(super) fn give_buffer(&self, buffer: Vec<u8>) {
        *self.buffer.borrow_mut() = buffer;
    }

    /// The flow with these ends.
    pub(super) fn get(&self, key: &Key) -> Option<Rc<Flow>> {
        self.by_key.borrow().get(key).cloned()
    }

    pub(super) fn insert(&self, flow: Rc<Flow>) {
        self.by_key.borrow_mut().insert(flow.key, flow);
    }

    /// Forgets a flow, unless another has its place already.
    pub(super) fn remove(&self, flow: &Rc<Flow>) {
        let mut by_key = self.by_key.borrow_mut();
        if by_key
            .get(&flow.key)
            .is_some_and(|known| Rc::ptr_eq(known, flow))
        {
            by_key.remove(&flow.key);
        }
    }

    /// A place for another flow of a source; none when it has enough.
    pub(super) fn place(&self, key: &Key) -> Option<Place> {
        let source = (key.network, machine_of(key.client.ip()));
        let mut by_source = self.by_source.borrow_mut();
        let count = by_source.entry(source).or_default();
        if *count >= FLOWS_PER_SOURCE {
            return None;
        }
        *count += 1;
        drop(by_source);
        let by_source = self.by_source.clone();
        Some(Place { by_source, source })
    }

    /// A socket that answers from a called address and port, which belongs to a range.
    pub(super) fn outlet(&self, key: &Key, netns: &Netns) -> std::io::Result<Rc<Listener>> {
        let mut outlets = self.outlets.borrow_mut();
        let at = (key.network, key.local);
        if let Some(known) = outlets.get(&at).and_then(Weak::upgrade) {
            return Ok(known);
        }
        if outlets.len() == outlets.capacity() {
            outlets.retain(|_, outlet| outlet.strong_count() > 0);
        }
        let opened = Rc::new(Listener::outlet(netns, key.local)?);
        outlets.insert(at, Rc::downgrade(&opened));
        Ok(opened)
    }

    /// A Machine went, or takes nothing new: what comes next begins new flows.
    pub(crate) fn turn_away(&self, machine: &Name) {
        self.by_key.borrow_mut().retain(|_, flow| {
            let turned = flow.machine().as_ref() == Some(machine);
            if turned {
                flow.turn_away();
            }
            !turned || flow.is_held()
        });
    }

    /// Nothing arrives here any more: flows wait shortly for what their Machines still answer.
    pub(crate) fn turn_all_away(&self) {
        self.by_key.borrow().values().for_each(|flow| flow.leave());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_source = self.by_source.borrow_mut();
        match by_source.get_mut(&self.source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(by_source.remove(&self.source)),
        }
    }
}
