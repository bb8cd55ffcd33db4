//! What all sockets of one network's DNS server share.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use roost_dns::{Failure, Forward, Outcome, Transport};
use roost_wire::Name;

use crate::dns::bounds::{Admission, Forwards, Places};
use crate::dns::view::View;
use crate::dns::{random, resolvers, upstream};
use crate::shared::Shared;

/// One network's name service on one thread.
#[derive(Debug)]
pub(super) struct Context {
    shared: Arc<Shared>,
    network: Name,
    prefix: Ipv6Addr,
    forwards: Forwards,
    places: Places,
}

// === impl Context ===

impl Context {
    /// The name service of a network; fails when the table has none with this id and a valid prefix.
    pub(super) fn new(shared: Arc<Shared>, network: &str) -> io::Result<Self> {
        let known = shared.table().network(network).cloned();
        let known = known.ok_or_else(|| io::Error::other(format!("no network {network}")))?;
        let address = known.prefix.split('/').next().unwrap_or_default();
        let prefix = address.parse().map_err(|_| {
            io::Error::other(format!(
                "network {network} has no IPv6 prefix: {}",
                known.prefix
            ))
        })?;
        Ok(Self {
            shared,
            network: known.id.clone(),
            prefix,
            forwards: Forwards::default(),
            places: Places::for_connections(),
        })
    }

    /// What all threads share.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The network's prefix.
    pub(super) fn prefix(&self) -> Ipv6Addr {
        self.prefix
    }

    /// Where a TCP connection takes its place.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// What to do with a message from a Machine of this network. Never waits.
    pub(super) fn answer(&self, query: &[u8], transport: Transport) -> Outcome {
        let table = self.shared.table();
        let view = View::new(&table, &self.shared, &self.network, self.prefix);
        roost_dns::answer(query, &view, transport, &mut random::order)
    }

    /// Room for one more query of `peer`'s to the host's resolvers, or the reply that there is none.
    pub(super) fn admit(&self, forward: &Forward, peer: SocketAddr) -> Result<Admission, Vec<u8>> {
        let admission = self.forwards.admit(peer);
        admission.ok_or_else(|| forward.fail(Failure::Busy))
    }

    /// The reply to a query that is the host's resolvers' to answer; takes a few seconds at most.
    pub(super) async fn resolve(&self, forward: &Forward) -> Vec<u8> {
        let config = self.shared.config();
        upstream::resolve(forward, &resolvers::usable(&config.settings.resolvers)).await
    }
}
