//! The whole of what the agent has said, as a value: for tests and for both sides of a diff.

use std::collections::BTreeMap;

use crate::certificate::Certificate;
use crate::down::Kind;
use crate::entity::{App, Entity, Machine, Name, Network};

/// Everything that was put and not removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// By id.
    pub networks: BTreeMap<Name, Network>,
    /// By name.
    pub apps: BTreeMap<Name, App>,
    /// By id.
    pub machines: BTreeMap<Name, Machine>,
    /// By id.
    pub certificates: BTreeMap<Name, Certificate>,
}

/// One step from a state to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Create or replace.
    Put(Entity),
    /// Remove.
    Del(Kind, Name),
}

impl State {
    /// Takes one step. Doing it twice is the same as once.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Put(Entity::Network(value)) => {
                self.networks.insert(value.id.clone(), value);
            }
            Change::Put(Entity::App(value)) => {
                self.apps.insert(value.id.clone(), value);
            }
            Change::Put(Entity::Machine(value)) => {
                self.machines.insert(value.id.clone(), value);
            }
            Change::Put(Entity::Certificate(value)) => {
                self.certificates.insert(value.id.clone(), value);
            }
            Change::Del(Kind::Network, id) => {
                self.networks.remove(&id);
            }
            Change::Del(Kind::App, id) => {
                self.apps.remove(&id);
            }
            Change::Del(Kind::Machine, id) => {
                self.machines.remove(&id);
            }
            Change::Del(Kind::Certificate, id) => {
                self.certificates.remove(&id);
            }
        }
    }

    /// The steps that lead from `self` to `to`: things are made before what refers to them, and
    /// removed after it.
    pub fn diff(&self, to: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        put_changed(&self.networks, &to.networks, Entity::Network, &mut changes);
        put_changed(&self.apps, &to.apps, Entity::App, &mut changes);
        put_changed(&self.machines, &to.machines, Entity::Machine, &mut changes);
        let (mine, theirs) = (&self.certificates, &to.certificates);
        put_changed(mine, theirs, Entity::Certificate, &mut changes);
        del_missing(mine, theirs, Kind::Certificate, &mut changes);
        del_missing(&self.machines, &to.machines, Kind::Machine, &mut changes);
        del_missing(&self.apps, &to.apps, Kind::App, &mut changes);
        del_missing(&self.networks, &to.networks, Kind::Network, &mut changes);
        changes
    }
}

fn put_changed<T: Clone + PartialEq>(
    from: &BTreeMap<Name, T>,
    to: &BTreeMap<Name, T>,
    wrap: fn(T) -> Entity,
    changes: &mut Vec<Change>,
) {
    let different = to.iter().filter(|(id, value)| from.get(*id) != Some(value));
    changes.extend(different.map(|(_, value)| Change::Put(wrap(value.clone()))));
}

fn del_missing<T>(
    from: &BTreeMap<Name, T>,
    to: &BTreeMap<Name, T>,
    kind: Kind,
    changes: &mut Vec<Change>,
) {
    let gone = from.keys().filter(|id| !to.contains_key(*id));
    changes.extend(gone.map(|id| Change::Del(kind, id.clone())));
}
