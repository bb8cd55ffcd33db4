//! A connection to a Machine, or a stream of one that others use too.

use std::cell::RefCell;
use std::time::Duration;

use roost_http1::{Method, RequestFacts};
use roost_wire::LoadUnit;
use tokio::net::TcpStream;

use super::pool::Place;
use super::refusal::Refusal;
use crate::client;
use crate::http2::{MachineStream, Patience, PeerError};
use crate::route::{ConnectError, Slot};
use crate::worker::Worker;

/// What carries a request to a Machine, and what is known about it.
pub(super) struct Link {
    pub(super) stream: MachineSide,
    /// It has carried other requests and may have ended since.
    pub(super) used: bool,
}

/// What the Machine speaks.
pub(super) enum MachineSide {
    Http1(TcpStream),
    Http2(Box<RefCell<MachineStream>>),
}

/// Why there is no link.
pub(super) enum NoLink {
    /// The Machine was not reached.
    Connect(ConnectError),
    /// It was, and cannot take the request.
    Refused(Refusal<'static>),
}

/// How a link is got.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) facts: RequestFacts,
    /// The external port that was called.
    pub(super) port: u16,
    /// An unused connection will not do.
    pub(super) fresh: bool,
    /// How long connections of HTTP/2 are kept that carry nothing.
    pub(super) rest: Duration,
}

impl Link {
    /// Gets a link to the Machine of `slot`.
    pub(super) async fn open(worker: &Worker, slot: &Slot, wish: Wish) -> Result<Self, NoLink> {
        if slot.speaks_http2(wish.port) {
            return Self::open_http2(worker, slot, wish).await;
        }
        let facts = wish.facts;
        let pooled = slot.unit() == LoadUnit::Requests && !facts.upgrade && !wish.fresh;
        if pooled && let Some(stream) = worker.pool.take(place(slot)) {
            let (stream, used) = (MachineSide::Http1(stream), true);
            return Ok(Self { stream, used });
        }
        let stream = slot.connect().await.map_err(NoLink::Connect)?;
        let (stream, used) = (MachineSide::Http1(stream), false);
        Ok(Self { stream, used })
    }

    async fn open_http2(worker: &Worker, slot: &Slot, wish: Wish) -> Result<Self, NoLink> {
        let patience = Patience {
            greeting: worker.config().settings.connect_timeout(),
            rest: wish.rest,
        };
        let (stream, used) = match worker.peers.stream(slot, patience).await {
            Ok(found) => found,
            Err(PeerError::Connect(error)) => return Err(NoLink::Connect(error)),
            Err(PeerError::Handshake(message)) => {
                return Err(NoLink::Refused(Refusal::coded(502, "PU01", message)));
            }
            Err(PeerError::Crowded(message)) => {
                return Err(NoLink::Refused(Refusal::coded(503, "PC06", message)));
            }
        };
        if let Some(reason) = why_not_upgrade(wish.facts, &stream) {
            return Err(NoLink::Refused(Refusal::coded(502, "PU04", reason)));
        }
        let stream = MachineSide::Http2(Box::new(RefCell::new(stream)));
        Ok(Self { stream, used })
    }

    /// Whether a request that was sent and not answered may be sent again: because the Machine says that
    /// it did nothing about it, or because an unused connection swallowed no more than a copy of it by
    /// ending at that moment.
    pub(super) fn may_send_again(&self, method: Method) -> bool {
        let repeatable = self.used && method.may_repeat();
        match &self.stream {
            MachineSide::Http1(_) => repeatable,
            MachineSide::Http2(stream) => stream.borrow().may_send_again(repeatable),
        }
    }

    /// Ends what broke off, so that the Machine does not take it for a whole. A stream that is dropped says so.
    pub(super) fn reset(self) {
        if let MachineSide::Http1(stream) = self.stream {
            client::reset(stream);
        }
    }

    /// Keeps what can carry another request, after `slot` was given back.
    pub(super) fn keep(self, worker: &Worker, slot: Slot, clean: bool, rest: Duration) {
        let pooled = clean && slot.unit() == LoadUnit::Requests;
        let (machine, instance) = (slot.machine().clone(), slot.instance().clone());
        let internal_port = slot.internal_port();
        let goes_on = slot.release();
        match self.stream {
            MachineSide::Http1(stream) if goes_on && pooled => {
                let place = Place {
                    machine: &machine,
                    instance: &instance,
                    internal_port,
                };
                worker.pool.put(place, stream, rest);
            }
            MachineSide::Http2(_) if !goes_on => worker.peers.purge(&machine),
            MachineSide::Http1(_) | MachineSide::Http2(_) => {}
        }
    }
}

/// HTTP/2 has no upgrades, and of their kind `WebSocket` only, where the other side says so.
fn why_not_upgrade(facts: RequestFacts, stream: &MachineStream) -> Option<&'static str> {
    match (facts.upgrade, facts.websocket) {
        (false, _) => None,
        (true, false) => {
            Some("HTTP/2, which `h2_backend` asks for, has no upgrade but to WebSocket")
        }
        (true, true) if stream.takes_websockets() => None,
        (true, true) => Some(
            "the app speaks HTTP/2 without extended CONNECT (RFC 8441), so that no WebSocket can be opened",
        ),
    }
}

fn place(slot: &Slot) -> Place<'_> {
    Place {
        machine: slot.machine(),
        instance: slot.instance(),
        internal_port: slot.internal_port(),
    }
}
