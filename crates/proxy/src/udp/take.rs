//! Datagrams that arrive: to the flow they belong to, or the beginning of one.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use roost_wire::{Level, Name};
use tokio::task::{spawn_local, yield_now};

use crate::applog::Text;
use crate::dispatch::{Counted, Inbound};
use crate::netns::{Netns, RANGES};
use crate::route::Target;
use crate::shared::Shared;
use crate::udp::bounds::LONGEST;
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
    public: bool,
    _counted: Counted,
    _place: Place,
}

impl Taker {
    /// Takers of what comes to `at` in a network's namespace, one for each socket there. `mailbox` is the number of
    /// the worker.
    pub(crate) fn all(
        worker: &Rc<Worker>,
        network: &Name,
        public: bool,
        netns: &Arc<Netns>,
        at: SocketAddr,
        mailbox: usize,
    ) -> io::Result<Vec<Self>> {
        let (sockets, flows) = (&worker.shared.sockets, &worker.flows);
        let listeners = flows.listening.open(sockets, netns, at, mailbox)?;
        let taker = |listener| Self {
            worker: worker.clone(),
            network: network.clone(),
            public,
            netns: netns.clone(),
            number: flows.number(network),
            at,
            listener,
        };
        Ok(listeners.into_iter().map(taker).collect())
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
        if datagram.len() > LONGEST {
            shared.udp.drop_one();
            return;
        }
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
        let (room, outlet, held) = match self.prepare(&key, datagram) {
            Ok(prepared) => prepared,
            Err(reason) => {
                self.tell(&target, reason);
                return;
            }
        };
        let flow = Rc::new(Flow::new(key, held, worker.shared.now()));
        worker.flows.insert(flow.clone());
        let worker = worker.clone();
        spawn_local(async move {
            let _room = room;
            flow::run(&worker, &flow, &target, &outlet).await;
        });
    }

    /// What another flow needs, or why there is no room for it.
    fn prepare(
        &self,
        key: &Key,
        datagram: &[u8],
    ) -> Result<(Room, Rc<Listener>, Held), &'static str> {
        let room = self.room(key)?;
        let outlet = self
            .outlet(key)
            .map_err(|_| "no socket could be opened to answer it")?;
        let mut held = Held::new(&self.worker.shared);
        if !held.push(datagram) {
            return Err("too much is held for Machines that do not take it yet");
        }
        Ok((room, outlet, held))
    }

    fn room(&self, key: &Key) -> Result<Room, &'static str> {
        let (shared, public) = (&self.worker.shared, self.public);
        let place = self.worker.flows.place(key, public);
        let place = place.ok_or("its source has too many flows")?;
        let most = shared.max_connections;
        if !shared.has_room(public) || !shared.udp.add_flow(public, most) {
            return Err("there are too many flows");
        }
        Ok(Room {
            shared: shared.clone(),
            public,
            _counted: Counted::new(shared, public),
            _place: place,
        })
    }

    /// What answers: a socket on the port that was called.
    fn outlet(&self, key: &Key) -> io::Result<Rc<Listener>> {
        if self.at != RANGES {
            return Ok(self.listener.clone());
        }
        self.worker.flows.outlet(key, &self.netns)
    }

    fn tell(&self, target: &Target, reason: &str) {
        let shared = &self.worker.shared;
        shared.udp.drop_one();
        if target.app.crowded.is_due(shared.now()) {
            let (client, port) = (target.client, target.port);
            let text = || {
                Text::from(format!(
                    "a datagram from {client} to UDP port {port} was dropped: {reason}"
                ))
            };
            shared.log_with(Level::Warn, &target.app.name, None, Some("RU01"), text);
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.udp.end_flow(self.public);
    }
}
