//! Whose an address is, where what one caller may hold is counted.

use std::net::{IpAddr, Ipv6Addr};

/// What the addresses of one Machine have in common: it has a whole /112 and may call from any of it. An
/// IPv4 address stands for itself.
pub(crate) fn machine_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V6(address) => address.to_bits() >> 16,
        IpAddr::V4(address) => address.to_bits().into(),
    }
}

/// What an address has in common with others of the same source: a Machine has a /112, somebody outside
/// mostly a /64 or a single IPv4 address.
pub(crate) fn source_of(client: IpAddr, outside: bool) -> IpAddr {
    let IpAddr::V6(ip) = client else {
        return client;
    };
    if let Some(ip) = ip.to_ipv4_mapped() {
        return ip.into();
    }
    let varies = if outside { 64 } else { 16 };
    Ipv6Addr::from_bits(ip.to_bits() >> varies << varies).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Machine does not get around its limit by its many addresses, nor does a network outside.
    #[test]
    fn addresses_of_one_source_are_one() {
        let inside = |text: &str| source_of(text.parse().unwrap(), false);
        let outside = |text: &str| source_of(text.parse().unwrap(), true);
        assert_eq!(
            inside("fdaa:0:1:0:2:0:5:2"),
            inside("fdaa:0:1:0:2:0:5:ffff")
        );
        assert_ne!(inside("fdaa:0:1:0:2:0:5:2"), inside("fdaa:0:1:0:2:0:6:2"));
        assert_eq!(outside("2001:db8::1"), outside("2001:db8::ffff:1"));
        assert_eq!(outside("fd00::1"), outside("fd00::ffff:1"));
        assert_eq!(outside("::ffff:192.0.2.1"), outside("192.0.2.1"));
    }
}
