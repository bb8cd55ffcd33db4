//! How many handshakes a second may begin.

use std::net::IpAddr;
use std::sync::Mutex;

use roost_core::{Micros, Rates};
use roost_wire::{Name, Settings};

use crate::shared::lock;

/// Sources that are kept apart.
const MAX_SOURCES: usize = 16 * 1024;
/// Apps that are kept apart.
const MAX_APPS: usize = 4 * 1024;

/// Rates of handshakes, over all threads.
#[derive(Debug)]
pub(super) struct Limits {
    sources: Mutex<Rates<IpAddr>>,
    apps: Mutex<Rates<Name>>,
}

/// Why a handshake may not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    /// Too many from the same source.
    Source,
    /// Too many to the same app.
    App,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sources: Mutex::new(Rates::new(MAX_SOURCES)),
            apps: Mutex::new(Rates::new(MAX_APPS)),
        }
    }
}

impl Limits {
    /// Counts one handshake, if it may begin.
    pub(super) fn admit(
        &self,
        settings: &Settings,
        client: IpAddr,
        app: &Name,
        now: Micros,
    ) -> Result<(), Excess> {
        let rate = settings.tls_handshakes_source;
        if !lock(&self.sources).admit(source(client), rate, now) {
            return Err(Excess::Source);
        }
        let rate = settings.tls_handshakes_app;
        if !lock(&self.apps).admit(app.clone(), rate, now) {
            return Err(Excess::App);
        }
        Ok(())
    }
}

/// What an address has in common with others of the same source: a Machine has a /112, somebody outside
/// mostly a /64 or a single IPv4 address.
fn source(client: IpAddr) -> IpAddr {
    let IpAddr::V6(ip) = client else {
        return client;
    };
    if let Some(ip) = ip.to_ipv4_mapped() {
        return ip.into();
    }
    let shared = if ip.is_unique_local() { 16 } else { 64 };
    std::net::Ipv6Addr::from_bits(ip.to_bits() >> shared << shared).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Machine does not get around its limit by its many addresses, nor does a network outside.
    #[test]
    fn addresses_of_one_source_are_one() {
        let source = |text: &str| source(text.parse().unwrap());
        assert_eq!(
            source("fdaa:0:1:0:2:0:5:2"),
            source("fdaa:0:1:0:2:0:5:ffff")
        );
        assert_ne!(source("fdaa:0:1:0:2:0:5:2"), source("fdaa:0:1:0:2:0:6:2"));
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    }
}
