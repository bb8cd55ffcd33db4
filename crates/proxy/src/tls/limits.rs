//! How many handshakes a second may begin.

use std::net::IpAddr;
use std::sync::Mutex;

use roost_core::{Micros, Rates};
use roost_wire::{Name, Settings};

use crate::shared::lock;
use crate::source::source_of;

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
        let source = source_of(client, !is_of_a_network(client));
        if !lock(&self.sources).admit(source, rate, now) {
            return Err(Excess::Source);
        }
        let rate = settings.tls_handshakes_app;
        if !lock(&self.apps).admit(app.clone(), rate, now) {
            return Err(Excess::App);
        }
        Ok(())
    }
}

/// Whether an address is one that networks here give, and so of a Machine.
const fn is_of_a_network(client: IpAddr) -> bool {
    matches!(client, IpAddr::V6(ip) if ip.is_unique_local())
}
