//! Reverse names of `fdaa::/16`: the caller's own network is answered, all others do not exist.

use std::net::Ipv6Addr;

use hickory_proto::rr::RecordType;

use crate::view::{MachineView, NetworkView, Owner};
use crate::zone::Found;

/// Nibbles of an address below `a.a.d.f.ip6.arpa`.
const NIBBLES: usize = 28;
/// Of these, the network's part.
const NETWORK: usize = 8;

/// What a name below `a.a.d.f.ip6.arpa.` holds.
///
/// A name that stops half-way on the path to the caller's network exists without records, so that
/// resolvers which walk down label by label (RFC 9156) get to its addresses.
pub(crate) fn find(below: &[&[u8]], kind: RecordType, caller: &impl NetworkView) -> Found {
    let Some(value) = nibbles(below) else {
        return Found::Missing;
    };
    if below.len() < NIBBLES {
        let known = below.len().min(NETWORK);
        let asked = value >> (4 * (below.len() - known));
        let prefix = (caller.prefix().to_bits() >> 80) & 0xffff_ffff;
        let expected = prefix >> (4 * (NETWORK - known));
        return if asked == expected {
            Found::Nothing
        } else {
            Found::Missing
        };
    }
    let address = Ipv6Addr::from_bits((0xfdaa << 112) | value);
    match pointer(address, caller) {
        None => Found::Missing,
        Some(labels) if kind == RecordType::PTR => Found::Pointer(labels),
        Some(_) => Found::Nothing,
    }
}

/// The number that reversed nibble labels spell; `None` for any other label or too many.
fn nibbles(labels: &[&[u8]]) -> Option<u128> {
    if labels.len() > NIBBLES {
        return None;
    }
    labels.iter().rev().try_fold(0, |value: u128, label| {
        let [digit] = *label else { return None };
        let digit = char::from(*digit).to_digit(16)?;
        Some((value << 4) | u128::from(digit))
    })
}

fn pointer(address: Ipv6Addr, caller: &impl NetworkView) -> Option<Vec<String>> {
    match caller.owner(address)? {
        Owner::Machine(machine) if machine.started() && machine.listed() => {
            name(&[machine.id(), "vm", machine.app(), "internal"])
        }
        Owner::Machine(_) => None,
        Owner::Flycast(app) => name(&[app, "flycast"]),
    }
}

/// The labels, if a message can carry them.
fn name(labels: &[&str]) -> Option<Vec<String>> {
    let fine = labels.iter().all(|label| (1..=63).contains(&label.len()));
    fine.then(|| labels.iter().map(|label| (*label).to_owned()).collect())
}
