//! What a change of the table asks the shell to do.

use std::collections::BTreeSet;
use std::net::IpAddr;

use roost_wire::Name;

use super::Place;

/// What to look at again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// Networks that came, went or changed themselves.
    pub networks: BTreeSet<Name>,
    /// Places of networks where listening may have to begin or end.
    pub places: BTreeSet<(Name, Place)>,
    /// Addresses that were taken from apps.
    pub released: Vec<Release>,
}

impl Touched {
    /// Nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.places.is_empty() && self.released.is_empty()
    }
}

/// An app is not called at an address any more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Release {
    /// The app.
    pub app: Name,
    /// The network of its callers there.
    pub network: Name,
    /// The address.
    pub ip: IpAddr,
    /// How long connections that came by it may go on, in milliseconds.
    pub drain_ms: u64,
}
