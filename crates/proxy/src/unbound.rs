//! Public places where listening is not possible now, so that apps are told of each once and not at every
//! try.

use std::collections::HashSet;
use std::sync::Mutex;

use roost_core::Place;
use roost_wire::Name;

use crate::shared::lock;

/// The places of all workers.
#[derive(Debug, Default)]
pub(crate) struct Unbound {
    places: Mutex<HashSet<(Name, Place)>>,
}

impl Unbound {
    /// Remembers a place; says whether it was not known.
    pub(crate) fn add(&self, network: &Name, at: Place) -> bool {
        lock(&self.places).insert((network.clone(), at))
    }

    /// A place is listened at, or has not to be any more.
    pub(crate) fn remove(&self, network: &Name, at: Place) {
        lock(&self.places).remove(&(network.clone(), at));
    }

    /// Forgets the places of a network that do not stay.
    pub(crate) fn retain(&self, network: &Name, stays: impl Fn(&Place) -> bool) {
        lock(&self.places).retain(|(of, at)| of != network || stays(at));
    }
}

#[cfg(test)]
mod tests {
    use roost_wire::Protocol;

    use super::*;

    /// A place is new again once it was listened at or not wanted; those of other networks stay.
    #[test]
    fn a_place_is_new_once() {
        let unbound = Unbound::default();
        let (one, two) = (Name::from("1"), Name::from("2"));
        let at = |port| Place::single(Protocol::Tcp, ([192, 0, 2, 7], port).into());
        assert!(unbound.add(&one, at(80)) && !unbound.add(&one, at(80)));
        assert!(unbound.add(&one, at(81)) && unbound.add(&two, at(80)));
        unbound.remove(&one, at(80));
        assert!(unbound.add(&one, at(80)));
        unbound.retain(&one, |place| *place == at(81));
        assert!(unbound.add(&one, at(80)) && !unbound.add(&one, at(81)));
        assert!(!unbound.add(&two, at(80)));
    }
}
