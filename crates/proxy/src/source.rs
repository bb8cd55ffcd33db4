//! Whose an address is, where what one caller may hold is counted.

use std::net::IpAddr;

/// What the addresses of one Machine have in common: it has a whole /112 and may call from any of it. An
/// IPv4 address stands for itself.
pub(crate) fn machine_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V6(address) => address.to_bits() >> 16,
        IpAddr::V4(address) => address.to_bits().into(),
    }
}
