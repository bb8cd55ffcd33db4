//! The table's indexes against what they would be if computed from everything.

#![allow(missing_docs)]
// A test says what is wrong by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;
use roost_core::Table;
use roost_wire::{Change, Entity, Kind, State};
use serde_json::json;

fn network(id: u8) -> Entity {
    let value = json!({"id": id.to_string(), "name": "n", "org": "o", "prefix": "p"});
    Entity::Network(serde_json::from_value(value).unwrap())
}

fn app(id: u8, addresses: &[(u8, u8)]) -> Entity {
    let addresses: Vec<_> = addresses
        .iter()
        .map(|(network, host)| json!({"network": network.to_string(), "ip": format!("fdaa::{host:x}")}))
        .collect();
    let value = json!({"id": format!("a{id}"), "org": "o", "network": "0", "addresses": addresses});
    Entity::App(serde_json::from_value(value).unwrap())
}

fn machine(id: u8, app: u8, ports: &[u16]) -> Entity {
    let ports: Vec<_> = ports.iter().map(|port| json!({"port": port})).collect();
    let value = json!({"id": format!("m{id}"), "app": format!("a{app}"), "network": "0",
        "state": "stopped", "services": [{"internal_port": 8080, "ports": ports}]});
    Entity::Machine(serde_json::from_value(value).unwrap())
}

fn change() -> impl Strategy<Value = Change> {
    let addresses = prop::collection::btree_map(0..20_u8, 0..3_u8, 0..3);
    // An address belongs to one app, as the agent sees to it: its host part is made from the app's.
    let apps = (0..4_u8, addresses).prop_map(|(id, hosts)| {
        let hosts: Vec<_> = hosts
            .into_iter()
            .map(|(host, net)| (net, host * 4 + id))
            .collect();
        app(id, &hosts)
    });
    let ports = prop::collection::vec(prop::sample::select(vec![80, 81, 443]), 0..3);
    prop_oneof![
        (0..3_u8).prop_map(|id| Change::Put(network(id))),
        apps.prop_map(Change::Put),
        (0..6_u8, 0..4_u8, ports)
            .prop_map(|(id, app, ports)| Change::Put(machine(id, app, &ports))),
        (0..3_u8).prop_map(|id| Change::Del(Kind::Network, id.to_string().into())),
        (0..4_u8).prop_map(|id| Change::Del(Kind::App, format!("a{id}").into())),
        (0..6_u8).prop_map(|id| Change::Del(Kind::Machine, format!("m{id}").into())),
    ]
}

fn apply(table: &mut Table, change: Change) -> BTreeSet<roost_wire::Name> {
    match change {
        Change::Put(entity) => table.put(entity).networks,
        Change::Del(kind, id) => table.del(kind, &id).networks,
    }
}

/// The ports a network has to listen on, computed from all there is.
fn ports(state: &State, network: &str) -> Vec<u16> {
    let called = |machine: &&roost_wire::Machine| {
        let app = state.apps.get(&machine.app);
        app.is_some_and(|app| {
            app.addresses
                .iter()
                .any(|address| *address.network == *network)
        })
    };
    let machines = state.machines.values().filter(called);
    let services = machines.flat_map(|machine| machine.services.iter());
    let all: BTreeSet<u16> = services
        .flat_map(|one| one.ports.iter().map(|port| port.port))
        .collect();
    all.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// After any changes the ports, addresses and Machines are those of the whole, and whoever's ports
    /// changed was named.
    #[test]
    fn indexes_follow_changes(changes in prop::collection::vec(change(), 1..60)) {
        let (mut table, mut state) = (Table::new(), State::default());
        for change in changes {
            let before: HashMap<u8, Vec<u16>> =
                (0..3).map(|net| (net, table.ports(&net.to_string()))).collect();
            state.apply(change.clone());
            let touched = apply(&mut table, change);
            for (net, before) in before {
                let network = net.to_string();
                let now = table.ports(&network);
                prop_assert_eq!(&now, &ports(&state, &network));
                prop_assert!(now == before || touched.contains(&*network));
            }
            for app in state.apps.values() {
                for address in &app.addresses {
                    let found = table.app_at(&address.network, &address.ip);
                    prop_assert_eq!(found.map(|found| &found.id), Some(&app.id));
                }
                let listed = table.machines_of(&app.id).count();
                let expected = state.machines.values().filter(|one| one.app == app.id).count();
                prop_assert_eq!(listed, expected);
            }
            let sizes = (state.networks.len(), state.apps.len(), state.machines.len());
            prop_assert_eq!(table.sizes(), sizes);
        }
    }
}

/// A removed address, app or Machine is not found any more.
#[test]
fn forgets_what_is_gone() {
    let mut table = Table::new();
    table.put(network(1));
    table.put(app(1, &[(1, 5)]));
    table.put(machine(1, 1, &[80]));
    let ip = "fdaa::5".parse().unwrap();
    assert_eq!(table.port("a1", 80).map(|port| port.port), Some(80));
    assert!(table.app_at("1", &ip).is_some());
    table.put(app(1, &[]));
    assert!(table.app_at("1", &ip).is_none());
    assert_eq!(table.ports("1"), Vec::<u16>::new());
    table.del(Kind::Machine, "m1");
    table.del(Kind::App, "a1");
    table.del(Kind::Network, "1");
    assert_eq!(table.sizes(), (0, 0, 0));
}
