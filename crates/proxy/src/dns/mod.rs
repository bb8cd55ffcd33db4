//! The DNS server of the private networks.
//!
//! Each network is answered from inside its own namespace, at the address all networks have in
//! common (`fdaa::3`) and at its own (`<prefix>::3`); a reply leaves from the address that was asked.
//! What to answer is `roost-dns`'s matter; here are the sockets, the bounds and the way to the host's
//! resolvers. A query never waits for another network's: what a network may hold is bounded in
//! [`bounds`], and answering out of the table takes no await.
//!
//! Every name outside the private zones goes to the host's resolvers as it is, names of one label and
//! special ones such as `localhost.` included: how these resolve is the host's decision.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;
use tokio::task::spawn_local;

use crate::netns::Netns;
use crate::shared::Shared;

mod bounds;
mod context;
mod random;
mod resolvers;
mod tcp;
mod udp;
mod upstream;
mod view;

const PORT: u16 = 53;
/// The DNS address that all networks have in common.
const COMMON: Ipv6Addr = Ipv6Addr::new(0xfdaa, 0, 0, 0, 0, 0, 0, 3);

/// The DNS server of one network on one thread. Dropping it ends the taking of queries; what was taken is
/// still answered.
#[derive(Debug)]
pub(crate) struct Server {
    _open: watch::Sender<()>,
}

/// Serves the names of one network from inside its namespace. Runs on the calling worker's runtime.
///
/// Several threads may serve the same network: the kernel spreads callers over them. Fails when the
/// network is not in the table or its addresses cannot be bound.
pub(crate) fn spawn(
    shared: &Arc<Shared>,
    network: &str,
    netns: &Netns,
    worker: usize,
) -> io::Result<Server> {
    let context = Arc::new(context::Context::new(shared.clone(), network)?);
    let (open, closed) = watch::channel(());
    for address in [COMMON, own_address(context.prefix())] {
        let at = SocketAddr::from((address, PORT));
        let (sockets, listeners) = (
            shared.sockets.udp(netns, at, worker)?,
            shared.sockets.tcp(netns, at, worker)?,
        );
        for socket in sockets {
            spawn_local(udp::serve(context.clone(), socket, Closing(closed.clone())));
        }
        for listener in listeners {
            spawn_local(tcp::serve(
                context.clone(),
                listener,
                Closing(closed.clone()),
            ));
        }
    }
    Ok(Server { _open: open })
}

/// Tells a task that its server was dropped.
#[derive(Debug)]
struct Closing(watch::Receiver<()>);

impl Closing {
    async fn closed(&mut self) {
        // Nothing is ever sent: it changes when the sender is gone.
        while self.0.changed().await.is_ok() {}
    }
}

/// What is still to be answered; the process does not end before, if it may wait at all.
#[derive(Debug)]
struct Answering<'a>(&'a Shared);

impl<'a> Answering<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.answering.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The DNS address of the network with this prefix.
fn own_address(prefix: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits((prefix.to_bits() >> 80 << 80) | 3)
}
