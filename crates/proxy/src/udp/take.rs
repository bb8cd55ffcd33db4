//! Datagrams that arrive: to the flow they belong to, or the beginning of one.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use roost_wire::{Level, Name};
use tokio::net::UdpSocket;
use tokio::task::{spawn_local, yield_now};

use crate::applog::Text;
use crate::budget::Budget;
use crate::dispatch::{Counted, Inbound};
use crate::netns::{Netns, RANGES};
use crate::route::Target;
use crate::shared::Shared;
use crate::sockets::Held as Socket;
use crate::udp::flow::{self, Fate, Flow};
use crate::udp::flows::{Key, Place};
use crate::udp::held::Held;
use crate::udp::socket::{Listener, Received};
use crate::worker::Worker;

/// Datagrams taken before other tasks of the thread have their turn.
const BATCH: usize = 64;

/// Takes the datagrams of one socket.
pub(crate) struct Taker {
    worker: Rc<Worker>,
    network: Name,
    public: bool,
    netns: Arc<Netns>,
    number: u32,
    at: SocketAddr,
    listener: Rc<Listener>,
}

/// What a flow takes of what there is, given back when dropped.
struct Room {
    shared: Arc<Shared>,
    _counted: Counted,
    _place: Place,
}

impl Taker {
    /// Takes what comes to a socket at `at` in a network's namespace.
    pub(crate) fn new(
        worker: Rc<Worker>,
        network: Name,
        public: bool,
        netns: Arc<Netns>,
        (at, socket): (SocketAddr, Socket<UdpSocket>),
    ) -> io::Result<Self> {
        let listener = Rc::new(Listener::new(socket, at)?);
        let number = worker.flows.number(&network);
        Ok(Self {
            worker,
            network,
            public,
            netns,
            number,
            at,
            listener,
        })
    }

    /// Takes datagrams until dropped.
    pub(crate) async fn run(self) {
        while self.listener.readable().await.is_ok() {
            let mut buffer = self.worker.flows.take_buffer();
            for _ in 0..BATCH {
                match self.listener.receive(&mut buffer) {
                    Ok(received) => {
                        let datagram = buffer.get(..received.length).unwrap_or_default();
                        self.take(received, datagram);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // An error of an earlier answer, reported late.
                    Err(_) => {}
                }
            }
            self.worker.flows.give_buffer(buffer);
            yield_now().await;
        }
    }

    fn take(&self, received: Received, datagram: &[u8]) {
        let key = Key {
            network: self.number,
            client: received.client,
            local: received.local,
        };
        let shared = &self.worker.shared;
        let known = self.worker.flows.get(&key);
        let Some(known) = known else {
            self.begin(key, datagram);
            return;
        };
        if known.deliver(datagram, shared.now()) == Fate::Dropped {
            shared.udp.drop_one();
        }
    }

    fn begin(&self, key: Key, datagram: &[u8]) {
        let worker = &self.worker;
        let inbound = Inbound {
            network: self.network.clone(),
            client: key.client,
            local: key.local,
            public: self.public,
        };
        if !worker.shared.listens() {
            return;
        }
        let Some(target) = inbound.flow_target(worker) else {
            return;
        };
        let mut held = Held::new(&worker.shared);
        let room = self.room(&key).filter(|_| held.push(datagram));
        let (Some(room), Some(outlet)) = (room, self.outlet(&key)) else {
            self.tell(&target);
            return;
        };
        let flow = Rc::new(Flow::new(key, held, worker.shared.now()));
        worker.flows.insert(flow.clone());
        let worker = worker.clone();
        spawn_local(async move {
            let _room = room;
            flow::run(&worker, &flow, &target, &outlet).await;
        });
    }

    /// Room for another flow.
    fn room(&self, key: &Key) -> Option<Room> {
        let shared = &self.worker.shared;
        let most = Budget::flows(shared.max_connections);
        let place = self.worker.flows.place(key)?;
        if !shared.has_room(self.public) || !shared.udp.add_flow(most) {
            return None;
        }
        Some(Room {
            shared: shared.clone(),
            _counted: Counted::new(shared, self.public),
            _place: place,
        })
    }

    /// What answers: a socket on the port that was called.
    fn outlet(&self, key: &Key) -> Option<Rc<Listener>> {
        if self.at != RANGES {
            return Some(self.listener.clone());
        }
        self.worker.flows.outlet(key, &self.netns).ok()
    }

    fn tell(&self, target: &Target) {
        let shared = &self.worker.shared;
        shared.udp.drop_one();
        if shared.udp.telling.is_due(shared.now()) {
            let (client, port) = (target.client, target.port);
            let text = || {
                Text::from(format!(
                    "a datagram from {client} to UDP port {port} was dropped: there are too many flows"
                ))
            };
            shared.log_with(Level::Warn, &target.app.name, None, Some("RU01"), text);
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.udp.end_flow();
    }
}
