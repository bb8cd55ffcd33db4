//! The indexes that DNS asks: whose address, which apps, who is up on a network.
#![allow(missing_docs, clippy::unwrap_used)]

use roost_core::Table;
use roost_wire::{Entity, Kind, Name};

fn app(id: &str, network: &str) -> Entity {
    let value = format!(
        r#"{{"kind":"app","value":{{"id":"{id}","org":"o","network":"{network}","addresses":[]}}}}"#
    );
    serde_json::from_str(&value).unwrap()
}

fn machine(id: &str, app: &str, network: &str, ip: &str, state: &str) -> Entity {
    let value = format!(
        r#"{{"kind":"machine","value":{{"id":"{id}","app":"{app}","network":"{network}",
            "state":"{state}","ip6":"{ip}"}}}}"#
    );
    serde_json::from_str(&value).unwrap()
}

fn at(table: &Table, network: &str, ip: &str) -> Option<String> {
    table
        .machine_at(network, &ip.parse().unwrap())
        .map(|machine| machine.id.to_string())
}

fn started(table: &Table, network: &str) -> (Vec<String>, Vec<String>) {
    let web = Name::from("web");
    let ids = |id: &Name| id.to_string();
    (
        table
            .started_of(network, &web)
            .map(|machine| ids(&machine.id))
            .collect(),
        table
            .started_on(network)
            .map(|machine| ids(&machine.id))
            .collect(),
    )
}

fn apps(table: &Table, network: &str) -> Vec<String> {
    let mut apps: Vec<_> = table
        .apps_of(network)
        .map(|app| app.id.to_string())
        .collect();
    apps.sort();
    apps
}

/// Each index follows puts, changes and removals, and knows nothing of other networks.
#[test]
fn indexes_follow_the_table() {
    let mut table = Table::new();
    for (id, network) in [("web", "1"), ("we", "1"), ("webs", "1"), ("far", "2")] {
        table.put(app(id, network));
    }
    table.put(machine("a", "web", "1", "fdaa::a:2", "started"));
    table.put(machine("b", "web", "1", "fdaa::b:2", "stopped"));
    table.put(machine("c", "webs", "1", "fdaa::c:2", "started"));
    table.put(machine("d", "far", "2", "fdaa::a:2", "started"));
    assert_eq!(vec!["we", "web", "webs"], apps(&table, "1"));
    assert_eq!(
        (Some("a".into()), Some("d".into())),
        (at(&table, "1", "fdaa::a:2"), at(&table, "2", "fdaa::a:2"))
    );
    assert_eq!(
        (vec!["a".into()], vec!["a".into(), "c".into()]),
        started(&table, "1")
    );

    table.put(machine("a", "web", "1", "fdaa::aa:2", "stopped"));
    table.put(machine("b", "web", "1", "fdaa::b:2", "started"));
    assert_eq!(
        (None, Some("a".into())),
        (at(&table, "1", "fdaa::a:2"), at(&table, "1", "fdaa::aa:2"))
    );
    assert_eq!(
        (vec!["b".into()], vec!["b".into(), "c".into()]),
        started(&table, "1")
    );

    table.put(machine("b", "webs", "2", "fdaa::b:2", "started"));
    assert_eq!((vec![], vec!["c".into()]), started(&table, "1"));
    assert_eq!(None, at(&table, "1", "fdaa::b:2"));
    table.put(app("web", "2"));
    assert_eq!(
        (vec!["we", "webs"], vec!["far", "web"]),
        (
            apps(&table, "1").iter().map(String::as_str).collect(),
            apps(&table, "2").iter().map(String::as_str).collect(),
        )
    );
    for id in ["a", "b", "c", "d"] {
        table.del(Kind::Machine, id);
    }
    for id in ["web", "we", "webs", "far"] {
        table.del(Kind::App, id);
    }
    assert_eq!((vec![], vec![]), started(&table, "2"));
    assert!(apps(&table, "1").is_empty() && at(&table, "2", "fdaa::a:2").is_none());
}

/// Every address of a Machine's /112 is the Machine's, and the one behind it is not.
#[test]
fn a_machine_has_a_whole_prefix() {
    let mut table = Table::new();
    table.put(machine("a", "web", "1", "fdaa::5:2", "stopped"));
    for ip in ["fdaa::5:0", "fdaa::5:2", "fdaa::5:ffff"] {
        assert_eq!(Some("a".into()), at(&table, "1", ip));
    }
    for ip in ["fdaa::4:2", "fdaa::6:2", "fdaa::1:5:2"] {
        assert_eq!(None, at(&table, "1", ip));
    }
    assert_eq!(None, at(&table, "2", "fdaa::5:2"));
}
