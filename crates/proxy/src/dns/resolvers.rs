//! The host's resolvers, as the agent names them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use roost_wire::Name;

use crate::dns::{COMMON, PORT, own_address};

/// How many are asked for one query, as in the C library.
const ASKED: usize = 3;

/// The first resolvers of a list of `ip` and `ip#port` that may be asked.
///
/// A DNS address of a private network is left out: a query could go round for ever.
pub(super) fn usable(settings: &[Name]) -> Vec<SocketAddr> {
    let parsed = settings.iter().filter_map(|text| parse(text));
    parsed
        .filter(|resolver| !ours(resolver.ip()))
        .take(ASKED)
        .collect()
}

fn parse(text: &str) -> Option<SocketAddr> {
    match text.split_once('#') {
        None => Some(SocketAddr::new(text.parse().ok()?, PORT)),
        Some((ip, port)) => Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?)),
    }
}

fn ours(ip: IpAddr) -> bool {
    let IpAddr::V6(ip) = ip.to_canonical() else {
        return false;
    };
    let private = ip.segments().first() == Some(&0xfdaa);
    ip == COMMON || (private && ip == own_address(network_of(ip)))
}

fn network_of(ip: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses with and without a port are read, others are skipped, and so are our own.
    #[test]
    fn resolvers_are_read() {
        let settings = [
            "fdaa::3",
            "192.0.2.1",
            "nonsense",
            "fdaa:0:7::3#53",
            "127.0.0.1#5353",
            "2001:db8::1",
        ];
        let settings: Vec<Name> = settings.into_iter().map(Name::from).collect();
        let expected = ["192.0.2.1:53", "127.0.0.1:5353", "[2001:db8::1]:53"];
        let found: Vec<_> = usable(&settings).iter().map(ToString::to_string).collect();
        assert_eq!(expected, &found[..]);
    }

    /// No more than three are asked.
    #[test]
    fn few_are_asked() {
        let settings: Vec<Name> = (1..9).map(|n| Name::from(format!("192.0.2.{n}"))).collect();
        assert_eq!(3, usable(&settings).len());
    }
}
