//! The flows of one worker, by both ends.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};

use roost_wire::Name;

use crate::netns::Netns;
use crate::source::source_of;
use crate::udp::bounds::FLOWS_PER_SOURCE;
use crate::udp::flow::Flow;
use crate::udp::listening::Listening;
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
    pub(super) listening: Listening,
    buffer: RefCell<Vec<u8>>,
}

/// A network, and what the addresses of one caller there have in common.
type Source = (u32, IpAddr);

/// One flow's place among those of its source; dropping it gives it back.
pub(super) struct Place {
    by_source: Rc<RefCell<HashMap<Source, usize>>>,
    source: Source,
}

/// Room for any datagram.
const BUFFER: usize = 1 << 16;

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
        buffer.resize(BUFFER, 0);
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

    /// A place for another flow of a source; none when it has enough. `public` says that the network is.
    pub(super) fn place(&self, key: &Key, public: bool) -> Option<Place> {
        let source = (key.network, source_of(key.client.ip(), public));
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
        self.leave(|_| true);
    }

    /// Nothing arrives from a network any more, or by other sockets.
    pub(crate) fn turn_network_away(&self, network: &Name) {
        let number = self.networks.borrow().get(network).copied();
        self.leave(|key| Some(key.network) == number);
    }

    fn leave(&self, leaves: impl Fn(&Key) -> bool) {
        self.by_key.borrow_mut().retain(|key, flow| {
            let leaves = leaves(key);
            if leaves {
                flow.leave();
            }
            !leaves
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(network: u32, client: &str) -> Key {
        let client = SocketAddr::new(client.parse().unwrap(), 1);
        Key {
            network,
            client,
            local: client,
        }
    }

    /// A Machine has its share whatever addresses of its own it uses, a network outside whatever of its /64; others
    /// have theirs, and nothing is kept of who has no flow.
    #[test]
    fn a_source_has_so_many_flows() {
        let flows = Flows::default();
        let outside = |number: u128| key(1, &format!("2001:db8::{number:x}:0:1"));
        let inside = |number: u128| key(2, &format!("fdaa:0:1:0:2:0:5:{number:x}"));
        let take = |key: &dyn Fn(u128) -> Key, public| {
            let numbers = 0..FLOWS_PER_SOURCE as u128;
            let places = numbers.map(|number| flows.place(&key(number), public).unwrap());
            places.collect::<Vec<_>>()
        };
        let held = [take(&outside, true), take(&inside, false)];
        assert!(flows.place(&outside(9_999), true).is_none());
        assert!(flows.place(&inside(9_999), false).is_none());
        let others = [
            (key(1, "2001:db8:0:1::1"), true),
            (key(1, "192.0.2.1"), true),
            (key(2, "fdaa:0:1:0:2:0:6:1"), false),
            (key(3, "fdaa:0:1:0:2:0:5:1"), false),
        ];
        assert!(
            others
                .iter()
                .all(|(key, public)| flows.place(key, *public).is_some())
        );
        drop(held);
        assert!(flows.by_source.borrow().is_empty());
    }
}
