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

use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

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

/// The DNS server of one network on one thread; dropping it closes its sockets.
#[derive(Debug)]
pub(crate) struct Server {
    _tasks: JoinSet<()>,
}

/// Serves the names of one network from inside its namespace. Runs on the calling worker's runtime.
///
/// Several threads may serve the same network: the kernel spreads callers over them. Fails when the
/// network is not in the table or its addresses cannot be bound.
pub(crate) fn spawn(shared: &Arc<Shared>, network: &str, netns: &Arc<Netns>) -> io::Result<Server> {
    let context = Arc::new(context::Context::new(shared.clone(), network)?);
    let mut tasks = JoinSet::new();
    for address in [COMMON, own_address(context.prefix())] {
        let at = SocketAddr::from((address, PORT));
        let socket = UdpSocket::from_std(netns.udp(at)?)?;
        let listener = TcpListener::from_std(netns.listen(at)?)?;
        tasks.spawn(udp::serve(context.clone(), socket));
        tasks.spawn(tcp::serve(context.clone(), listener));
    }
    Ok(Server { _tasks: tasks })
}

/// The DNS address of the network with this prefix.
fn own_address(prefix: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits((prefix.to_bits() >> 80 << 80) | 3)
}
