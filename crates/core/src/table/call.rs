//! Who is meant by a call to an address and port of a network.

use std::net::IpAddr;
use std::sync::Arc;

use roost_wire::{Address, App, Name, Port, Protocol};

use super::port::Guard;
use super::{AppEntry, Table};

/// What an address and port lead to.
#[derive(Debug, Clone, Copy)]
pub enum Call<'t> {
    /// To an app that answers.
    Offered(Offer<'t>),
    /// To an app of which no Machine serves the port.
    NotServed(&'t Arc<App>),
    /// To an app that serves the port, but not at this address.
    NotHere(&'t Arc<App>),
    /// To several apps: the caller has to say by name which one is meant.
    Shared,
    /// To nobody.
    Unknown,
}

/// An external port of an app that answers at an address.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'t> {
    /// The app.
    pub app: &'t Arc<App>,
    /// How the port is handled.
    pub port: &'t Arc<Port>,
    guards: &'t [Guard],
}

impl Offer<'_> {
    /// Whether only some apps may call.
    pub fn is_guarded(&self) -> bool {
        !self.guards.is_empty()
    }

    /// Whether a Machine of `caller` may call, or somebody of no known app.
    pub fn allows(&self, caller: Option<&App>) -> bool {
        let org = &self.app.org;
        let named = |guard: &Guard| caller.is_some_and(|caller| guard.names(caller, org));
        self.guards.iter().all(named)
    }
}

impl Table {
    /// What `ip` and a TCP `port` on a network lead to.
    pub fn call(&self, network: &str, ip: IpAddr, port: u16) -> Call<'_> {
        self.call_over(Protocol::Tcp, network, ip, port)
    }

    /// What `ip` and a `port` of this protocol on a network lead to.
    pub fn call_over(&self, protocol: Protocol, network: &str, ip: IpAddr, port: u16) -> Call<'_> {
        let entry = self.networks.get(network);
        let Some(called) = entry.and_then(|entry| entry.called.get(&ip)) else {
            return Call::Unknown;
        };
        let Some(name) = &called.own else {
            return Call::Shared;
        };
        let Some((entry, app)) = self.app_entry(name) else {
            return Call::Unknown;
        };
        match entry.offer(app, protocol, port) {
            None => Call::NotServed(app),
            Some(_) if !called.offers(port) => Call::NotHere(app),
            Some(offer) => Call::Offered(offer),
        }
    }

    /// What `ip` and a TCP `port` lead to for a caller that means the app of this name (in lower case):
    /// one that has the name itself comes before one that has it by a `*`.
    pub fn call_by_name(
        &self,
        network: &str,
        ip: IpAddr,
        port: u16,
        host: &str,
    ) -> Option<Offer<'_>> {
        let here = |address: &Address| {
            let same = address.ip == ip && *address.network == *network;
            same && address.shared && address.offers(port)
        };
        let offered = |host: &str| {
            let names = self.hosts.get(host)?.iter();
            let mut called = names
                .filter_map(|name| self.app_entry(name))
                .filter(|(_, app)| app.addresses.iter().any(here));
            called.find_map(|(entry, app)| entry.offer(app, Protocol::Tcp, port))
        };
        offered(host).or_else(|| {
            let (_, parent) = host.split_once('.')?;
            offered(&format!("*.{parent}"))
        })
    }

    /// An external port of an app, wherever it may be called.
    pub fn offer(&self, app: &str, port: u16) -> Option<Offer<'_>> {
        let entry = self.apps.get(app)?;
        entry.offer(entry.value.as_ref()?, Protocol::Tcp, port)
    }

    fn app_entry(&self, name: &Name) -> Option<(&AppEntry, &Arc<App>)> {
        let entry = self.apps.get(name)?;
        Some((entry, entry.value.as_ref()?))
    }
}

impl AppEntry {
    fn offer<'t>(&'t self, app: &'t Arc<App>, protocol: Protocol, port: u16) -> Option<Offer<'t>> {
        let entry = self.ports(protocol).get(port)?;
        Some(Offer {
            app,
            port: entry.value()?,
            guards: &entry.guards,
        })
    }
}
