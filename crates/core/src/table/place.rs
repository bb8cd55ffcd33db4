//! Where calls are listened for, and the ranges of ports that a Machine offers.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use roost_wire::{Address, Machine, Port, Protocol, Service};

/// External ports of one protocol that belong together: a single one, or a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) protocol: Protocol,
    first: u16,
    last: u16,
}

/// A port, or a range of them, at which one listens: at one address or at any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The address; the unspecified one is any.
    pub ip: IpAddr,
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl Place {
    /// A single port.
    pub fn single(protocol: Protocol, at: SocketAddr) -> Self {
        Self {
            protocol,
            ip: at.ip(),
            first: at.port(),
            last: at.port(),
        }
    }

    /// Whether there is more than one port.
    pub fn is_range(&self) -> bool {
        self.first != self.last
    }

    /// The address with the first port.
    pub fn at(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.first)
    }

    /// The ports.
    pub fn ports(&self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl Span {
    /// The ports of a Machine's service.
    pub(super) fn of(service: &Service, port: &Port) -> Self {
        let (first, last) = port.span().into_inner();
        Self {
            protocol: service.protocol,
            first,
            last,
        }
    }

    fn meets(self, other: Self) -> bool {
        let apart = self.last < other.first || other.last < self.first;
        self.protocol == other.protocol && !apart
    }

    pub(super) fn has(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// The ports of it that answer at an address, as places at `ip`.
    pub(super) fn places(self, address: &Address, ip: IpAddr) -> Vec<Place> {
        let place = |first, last| Place {
            protocol: self.protocol,
            ip,
            first,
            last,
        };
        match &address.ports {
            None => vec![place(self.first, self.last)],
            Some(ports) => {
                let offered = ports.iter().filter(|port| self.has(**port));
                offered.map(|port| place(*port, *port)).collect()
            }
        }
    }
}

/// The external ports of a Machine, with the service that serves them. What overlaps an earlier one is left
/// out: the agent does not let it be.
pub(super) fn external_ports(machine: &Machine) -> impl Iterator<Item = (&Service, &Port)> {
    let known = |service: &&Service| service.protocol != Protocol::Other;
    let services = machine.services.iter().filter(known);
    let mut seen: Vec<Span> = Vec::new();
    services
        .flat_map(|service| service.ports.iter().map(move |port| (service, port)))
        .filter(move |(service, port)| {
            let span = Span::of(service, port);
            let new = !seen.iter().any(|known| known.meets(span));
            if new {
                seen.push(span);
            }
            new
        })
}
