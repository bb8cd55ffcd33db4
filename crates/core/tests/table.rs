//! The table's indexes against what they would be if computed from everything.

#![allow(missing_docs)]
// A test says what is wrong by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use proptest::prelude::*;
use roost_core::{Call, Offer, Place, Table, Touched};
use roost_wire::{
    Address, App, Change, Entity, Handler, Kind, Machine, Name, Port, Protocol, Service, State,
};
use serde_json::{Value, json};

const PORTS: [u16; 3] = [80, 81, 443];
const SPANS: [(u16, Option<u16>); 5] = [
    (80, None),
    (81, None),
    (443, None),
    (80, Some(81)),
    (81, Some(443)),
];
const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

fn network(id: u8, public: bool) -> Entity {
    let value =
        json!({"id": id.to_string(), "name": "n", "org": "o", "prefix": "p", "public": public});
    Entity::Network(serde_json::from_value(value).unwrap())
}

fn app(id: u8, addresses: &[Value], hosts: &[&str]) -> Entity {
    let value = json!({"id": format!("a{id}"), "org": org_of(id), "network": "0",
        "addresses": addresses, "hosts": hosts, "drain_ms": u64::from(id)});
    Entity::App(serde_json::from_value(value).unwrap())
}

/// Two apps each are of one organization.
fn org_of(app: u8) -> String {
    format!("o{}", app % 2)
}

fn at(network: u8, ip: &str) -> Value {
    json!({"network": network.to_string(), "ip": ip})
}

fn machine(id: u8, app: u8, ports: &[u16], allowed: Option<&[String]>) -> Entity {
    handling(id, app, ports, &[], allowed)
}

/// What a Machine of the random changes offers.
type Offered = (Protocol, Vec<(u16, Option<u16>)>, Vec<&'static str>);

fn offering(id: u8, app: u8, services: &[Offered], allowed: Option<&[String]>) -> Entity {
    let service = |(protocol, spans, handlers): &Offered| {
        let port = |(first, last)| json!({"port": first, "end_port": last, "handlers": handlers});
        let ports: Vec<_> = spans.iter().copied().map(port).collect();
        json!({"protocol": protocol, "internal_port": 8080, "ports": ports, "allowed_apps": allowed})
    };
    let services: Vec<_> = services.iter().map(service).collect();
    let value = json!({"id": format!("m{id}"), "app": format!("a{app}"), "network": "0",
        "state": "stopped", "services": services});
    Entity::Machine(serde_json::from_value(value).unwrap())
}

fn offered() -> impl Strategy<Value = Offered> {
    let spans = prop::collection::vec(prop::sample::select(SPANS.to_vec()), 0..3);
    (prop::sample::select(PROTOCOLS.to_vec()), spans, handlers())
}

/// A Machine with handlers on its ports.
fn handling(
    id: u8,
    app: u8,
    ports: &[u16],
    handlers: &[&str],
    allowed: Option<&[String]>,
) -> Entity {
    let port = |port| json!({"port": port, "handlers": handlers});
    let ports: Vec<_> = ports.iter().map(port).collect();
    let value = json!({"id": format!("m{id}"), "app": format!("a{app}"), "network": "0",
        "state": "stopped", "services": [
            {"internal_port": 8080, "ports": ports, "allowed_apps": allowed}]});
    Entity::Machine(serde_json::from_value(value).unwrap())
}

fn ports() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(prop::sample::select(PORTS.to_vec()), 0..3)
}

/// An app's addresses, each once. One that it has for itself no other app has, as the agent sees to it.
fn addresses_of(app: u8) -> impl Strategy<Value = Vec<Value>> {
    let addresses = prop::collection::vec(address(app), 0..4);
    addresses.prop_map(|addresses| {
        let place = |one: &Value| format!("{} {}", one["network"], one["ip"]);
        let each: BTreeMap<_, _> = addresses
            .into_iter()
            .map(|one| (place(&one), one))
            .collect();
        each.into_values().collect()
    })
}

fn address(app: u8) -> impl Strategy<Value = Value> {
    let ports = prop::option::of(ports());
    (0..3_u8, 0..20_u8, any::<bool>(), ports).prop_map(move |(network, host, shared, ports)| {
        let host = if shared {
            u32::from(host % 2)
        } else {
            0x100 + u32::from(host) * 4 + u32::from(app)
        };
        json!({"network": network.to_string(), "ip": format!("fdaa::{host:x}"),
            "ports": ports, "shared": shared})
    })
}

fn apps() -> impl Strategy<Value = Entity> {
    (0..4_u8).prop_flat_map(|id| {
        let addresses = addresses_of(id);
        let hosts = prop::sample::subsequence(vec!["x", "x.y", "*.y"], 0..=3);
        (addresses, hosts).prop_map(move |(addresses, hosts)| app(id, &addresses, &hosts))
    })
}

fn change() -> impl Strategy<Value = Change> {
    let org = prop::option::of(0..2_u8);
    let name = (org, 0..4_u8).prop_map(|(org, id)| match org {
        Some(org) => format!("o{org}/a{id}"),
        None => format!("a{id}"),
    });
    let allowed = prop::option::of(prop::collection::vec(name, 0..4));
    prop_oneof![
        (0..3_u8, any::<bool>()).prop_map(|(id, public)| Change::Put(network(id, public))),
        apps().prop_map(Change::Put),
        (
            0..6_u8,
            0..4_u8,
            prop::collection::vec(offered(), 0..3),
            allowed
        )
            .prop_map(|(id, app, services, allowed)| {
                Change::Put(offering(id, app, &services, allowed.as_deref()))
            }),
        (0..3_u8).prop_map(|id| Change::Del(Kind::Network, id.to_string().into())),
        (0..4_u8).prop_map(|id| Change::Del(Kind::App, format!("a{id}").into())),
        (0..6_u8).prop_map(|id| Change::Del(Kind::Machine, format!("m{id}").into())),
    ]
}

fn handlers() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(vec!["http", "tls", "newer"], 0..=2)
}

fn apply(table: &mut Table, change: Change) -> Touched {
    match change {
        Change::Put(entity) => table.put(entity),
        Change::Del(kind, id) => table.del(kind, &id),
    }
}

/// The ports and ranges that an app's Machines offer; what overlaps an earlier one of its Machine does not
/// count.
fn offers_of<'s>(state: &'s State, app: &str, over: Protocol) -> Vec<(&'s Service, &'s Port)> {
    let machines = state.machines.values();
    let mut all = Vec::new();
    for machine in machines.filter(|machine: &&Machine| *machine.app == *app) {
        let mut mine: Vec<(&Service, &Port)> = Vec::new();
        for service in machine.services.iter().filter(|one| one.protocol == over) {
            for port in &service.ports {
                if !mine
                    .iter()
                    .any(|(_, one)| one.span().any(|at| port.has(at)))
                {
                    mine.push((service, port));
                }
            }
        }
        all.extend(mine);
    }
    all
}

/// The services of an app's Machines that serve a port, with what they say of it.
fn serving<'s>(
    state: &'s State,
    app: &str,
    over: Protocol,
    port: u16,
) -> Vec<(&'s Service, &'s Port)> {
    let mut all = offers_of(state, app, over);
    all.retain(|(_, one)| one.has(port));
    all
}

/// How much a word about a port counts against others, as lower numbers.
fn rank(port: &Port) -> (bool, bool) {
    let unserved = port.handlers.contains(&Handler::Other);
    (!port.is_http(), unserved)
}

/// The best rank of what an app's Machines say of a port.
fn best_rank(state: &State, app: &str, over: Protocol, port: u16) -> Option<(bool, bool)> {
    let serving = serving(state, app, over, port).into_iter();
    serving.map(|(_, one)| rank(one)).min()
}

fn addresses(state: &State) -> impl Iterator<Item = (&App, &Address)> {
    let apps = state.apps.values();
    apps.flat_map(|app| app.addresses.iter().map(move |address| (app, address)))
}

/// Where a network has to be listened, computed from all there is.
fn places(state: &State, network: &str) -> Vec<Place> {
    let public = state.networks.get(network).is_some_and(|one| one.public);
    let mut all = BTreeSet::new();
    for (app, address) in addresses(state).filter(|(_, one)| *one.network == *network) {
        let any = IpAddr::from([0_u16; 8]);
        let ip = if public { address.ip } else { any };
        for protocol in PROTOCOLS {
            for (_, port) in offers_of(state, &app.id, protocol) {
                let (first, last) = port.span().into_inner();
                let mut add = |first, last| {
                    all.insert(Place {
                        protocol,
                        ip,
                        first,
                        last,
                    })
                };
                if address.ports.is_none() {
                    add(first, last);
                }
                for chosen in address.ports.iter().flatten().filter(|at| port.has(**at)) {
                    add(*chosen, *chosen);
                }
            }
        }
    }
    all.into_iter().collect()
}

/// Which of the four apps may call a port of an app, and whether somebody of no app may.
fn admitted(state: &State, app: &App, over: Protocol, port: u16) -> Vec<bool> {
    let serving = serving(state, &app.id, over, port);
    let in_list = |list: &[Name], caller: u8| {
        let (org, name) = (org_of(caller), format!("a{caller}"));
        let full = format!("{org}/{name}");
        let mut list = list.iter();
        list.any(|one| **one == *full || (*app.org == *org && **one == *name))
    };
    let may = |caller: Option<u8>| {
        let lists = serving
            .iter()
            .filter_map(|(one, _)| one.allowed_apps.as_ref());
        lists
            .into_iter()
            .all(|list| caller.is_some_and(|caller| in_list(list, caller)))
    };
    (0..4).map(Some).chain([None]).map(may).collect()
}

fn admits(offer: &Offer<'_>) -> Vec<bool> {
    let named = |id| match app(id, &[], &[]) {
        Entity::App(app) => app,
        other => panic!("{other:?}"),
    };
    let callers = (0..4).map(|id| Some(named(id))).chain([None]);
    callers
        .map(|caller| offer.allows(caller.as_ref()))
        .collect()
}

/// Each address and port leads to whom it should.
fn check_calls(table: &Table, state: &State) -> Result<(), TestCaseError> {
    for (app, address) in addresses(state) {
        let (network, ip) = (&address.network, address.ip);
        for (protocol, port) in PROTOCOLS
            .into_iter()
            .flat_map(|one| PORTS.map(|at| (one, at)))
        {
            let served = !serving(state, &app.id, protocol, port).is_empty();
            let offered = address.offers(port);
            let at = Place {
                protocol,
                ip,
                first: port,
                last: port,
            };
            let named_there = table.apps_at(network, &at).contains(&app.id);
            prop_assert_eq!(named_there, served && offers(app, network, &at));
            match table.call_over(protocol, network, ip, port) {
                Call::Shared => prop_assert!(address.shared),
                Call::NotServed(found) => prop_assert!(found.id == app.id && !served),
                Call::NotHere(found) => prop_assert!(found.id == app.id && served && !offered),
                Call::Offered(offer) => {
                    prop_assert!(offer.app.id == app.id && served && offered);
                    prop_assert_eq!(admits(&offer), admitted(state, app, protocol, port));
                    let best = best_rank(state, &app.id, protocol, port);
                    prop_assert_eq!(Some(rank(offer.port)), best);
                }
                Call::Unknown => prop_assert!(false, "nobody at {}", ip),
            }
            for (host, wildcard) in [
                ("x", "?"),
                ("x.y", "*.y"),
                ("w.y", "*.y"),
                ("y", "?"),
                ("v.w.y", "?"),
            ] {
                let found = table.call_by_name(network, ip, port, host);
                let own = named(state, address, port, host);
                prop_assert_eq!(
                    found.map(|offer| &offer.app.id),
                    own.or_else(|| named(state, address, port, wildcard))
                );
            }
        }
    }
    Ok(())
}

/// Whether any address of an app is this one and offers the port.
fn offers(app: &App, network: &str, at: &Place) -> bool {
    let mut addresses = app.addresses.iter();
    addresses.any(|one| one.ip == at.ip && *one.network == *network && one.offers(at.first))
}

/// The first app that has a shared address and a name, and serves the port there.
fn named<'s>(state: &'s State, at: &Address, port: u16, host: &str) -> Option<&'s Name> {
    let mut sharing = addresses(state).filter(|(app, address)| {
        let same = address.network == at.network && address.ip == at.ip && address.shared;
        same && address.offers(port)
            && app.hosts.iter().any(|one| **one == *host)
            && !serving(state, &app.id, Protocol::Tcp, port).is_empty()
    });
    sharing.next().map(|(app, _)| &app.id)
}

/// The addresses that an app had and has not any more.
fn lost(before: &State, after: &State) -> BTreeSet<(Name, Name, IpAddr)> {
    let all = |state| {
        addresses(state)
            .map(|(app, address)| (app.id.clone(), address.network.clone(), address.ip))
            .collect::<BTreeSet<_>>()
    };
    &all(before) - &all(after)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// After any changes the places to listen at, addresses, names, guards and Machines are those of the
    /// whole; every place that came or went was named, and so was every address that an app lost.
    #[test]
    fn indexes_follow_changes(changes in prop::collection::vec(change(), 1..60)) {
        let (mut table, mut state) = (Table::new(), State::default());
        for change in changes {
            let before: HashMap<u8, BTreeSet<Place>> = (0..3)
                .map(|net| (net, table.places(&net.to_string()).into_iter().collect()))
                .collect();
            let old = state.clone();
            state.apply(change.clone());
            let touched = apply(&mut table, change);
            for (net, before) in before {
                let network = Name::from(net.to_string());
                let now = table.places(&network);
                prop_assert_eq!(&now, &places(&state, &network));
                for place in &before ^ &now.into_iter().collect() {
                    let named = touched.places.contains(&(network.clone(), place));
                    prop_assert!(named || touched.networks.contains(&network));
                    prop_assert_eq!(table.is_place(&network, &place), !before.contains(&place));
                }
            }
            let released = touched.released.iter();
            let released: BTreeSet<_> =
                released.map(|one| (one.app.clone(), one.network.clone(), one.ip)).collect();
            prop_assert_eq!(released.len(), touched.released.len());
            prop_assert_eq!(released, lost(&old, &state));
            check_calls(&table, &state)?;
            for app in state.apps.values() {
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
    table.put(network(1, false));
    table.put(app(1, &[at(1, "fdaa::5")], &[]));
    table.put(machine(1, 1, &[80], None));
    let ip = "fdaa::5".parse().unwrap();
    let offered = |table: &Table| matches!(table.call("1", ip, 80), Call::Offered(_));
    assert!(offered(&table) && table.app_at("1", &ip).is_some());
    table.put(app(1, &[], &[]));
    assert!(!offered(&table) && table.app_at("1", &ip).is_none());
    assert!(table.places("1").is_empty());
    table.del(Kind::Machine, "m1");
    table.del(Kind::App, "a1");
    table.del(Kind::Network, "1");
    assert_eq!(table.sizes(), (0, 0, 0));
}

/// An address that apps shared is nobody's when the last of them has gone, and what is offered under a protocol
/// that this proxy does not know is not offered.
#[test]
fn nobody_is_called_where_nobody_is() {
    let mut table = Table::new();
    let shared = json!({"network": "1", "ip": "fdaa::5", "shared": true});
    let ip = "fdaa::5".parse().unwrap();
    table.put(app(1, &[shared], &[]));
    assert!(matches!(table.call("1", ip, 80), Call::Shared));
    table.del(Kind::App, "a1");
    assert!(matches!(table.call("1", ip, 80), Call::Unknown));
    table.put(app(2, &[at(1, "fdaa::5")], &[]));
    let service = json!({"protocol": "sctp", "internal_port": 80, "ports": [{"port": 80}]});
    let value = json!({"id": "m1", "app": "a2", "network": "0", "state": "stopped",
        "services": [service]});
    table.put(Entity::Machine(serde_json::from_value(value).unwrap()));
    assert!(table.places("1").is_empty());
    assert!(matches!(table.call("1", ip, 80), Call::NotServed(_)));
}

/// What a Machine said of a port counts while it is there, whoever spoke last.
#[test]
fn forgets_the_words_of_a_machine_that_is_gone() {
    let mut table = Table::new();
    table.put(app(1, &[at(1, "fdaa::5")], &[]));
    let ip = "fdaa::5".parse().unwrap();
    let handlers = |table: &Table| match table.call("1", ip, 80) {
        Call::Offered(offer) => offer.port.handlers.clone(),
        other => panic!("{other:?}"),
    };
    table.put(handling(1, 1, &[80], &["http"], None));
    table.put(handling(2, 1, &[80], &[], None));
    assert_eq!(handlers(&table), [Handler::Http]);
    table.del(Kind::Machine, "m1");
    assert_eq!(handlers(&table), []);
    table.put(handling(3, 1, &[80], &["newer"], None));
    assert_eq!(handlers(&table), []);
    table.del(Kind::Machine, "m2");
    assert_eq!(handlers(&table), [Handler::Other]);
}

/// Connections may go on for as long as the app says when its address goes, or said before it went.
#[test]
fn drains_as_the_app_said_last() {
    let mut table = Table::new();
    table.put(app(7, &[at(1, "fdaa::5"), at(2, "fdaa::6")], &[]));
    let drains = |touched: Touched| -> Vec<(String, u64)> {
        let released = touched.released.iter();
        released
            .map(|one| (one.ip.to_string(), one.drain_ms))
            .collect()
    };
    let Entity::App(mut patient) = app(7, &[at(1, "fdaa::5")], &[]) else {
        panic!("not an app")
    };
    patient.drain_ms = 90;
    let touched = table.put(Entity::App(patient));
    assert_eq!(drains(touched), [("fdaa::6".to_owned(), 90)]);
    let touched = table.del(Kind::App, "a7");
    assert_eq!(drains(touched), [("fdaa::5".to_owned(), 90)]);
    assert!(table.del(Kind::App, "a7").is_empty());
}
