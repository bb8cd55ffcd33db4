//! Which certificate is shown to whom.

#![allow(missing_docs)]
// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use roost_core::{Certificates, Choice, Validity, Visit};
use roost_wire::{App, Certificate};
use serde_json::json;

const NOW: u64 = 1_000;

fn app() -> App {
    serde_json::from_value(json!({"id": "web", "org": "o", "network": "1", "hosts": ["web.x"]}))
        .unwrap()
}

/// A store with certificates: id, names, audience, and until when.
fn store(all: &[(&'static str, &[&str], Option<&str>, u64)]) -> Certificates<&'static str> {
    let mut store = Certificates::default();
    for (id, names, audience, not_after) in all {
        let mut value = json!({"id": id, "app": "web", "names": names, "chain": "", "key": "",
            "not_before": 100, "not_after": not_after, "renew_at": not_after - 50});
        if let Some(audience) = audience {
            value["audience"] = json!(audience);
        }
        let value: Certificate = serde_json::from_value(value).unwrap();
        store.put(&value, Arc::new(*id));
    }
    store
}

fn shown(store: &Certificates<&'static str>, audience: &str, name: Option<&str>) -> String {
    let app = app();
    let visit = Visit {
        app: &app,
        audience,
        name,
        now: NOW,
    };
    match store.choose(&visit) {
        Choice::Show { what, renew: false } => (*what).to_owned(),
        Choice::Show { what, renew: true } => format!("{what}, renew"),
        Choice::Await(gap) => match (gap.unnamed, gap.lapsed) {
            (false, _) => "await".to_owned(),
            (true, None) => "await the name".to_owned(),
            (true, Some(lapsed)) => format!("await the name, ended {}", lapsed.not_after),
        },
        Choice::Nothing(None) => "nothing".to_owned(),
        Choice::Nothing(Some(Validity { not_after, .. })) => format!("ended {not_after}"),
    }
}

/// A given certificate goes before an issued one, an exact name before a `*`, and the later end first.
#[test]
fn given_ones_come_first() {
    let store = store(&[
        ("star", &["*.x"], None, 9_000),
        ("exact", &["web.x"], None, 2_000),
        ("later", &["web.x"], None, 3_000),
        ("issued", &["web.flycast", "web.x"], Some("o"), 9_000),
    ]);
    assert_eq!(shown(&store, "o", Some("web.x")), "later");
    assert_eq!(shown(&store, "o", Some("other.x")), "star");
    assert_eq!(shown(&store, "o", Some("a.other.x")), "nothing");
    assert_eq!(shown(&store, "o", Some("x")), "nothing");
    assert_eq!(shown(&store, "o", Some("web.flycast")), "issued");
    assert_eq!(shown(&store, "o", None), "issued");
}

/// What one organization's authority issued is shown to nobody of another.
#[test]
fn issued_ones_are_for_their_audience() {
    let store = store(&[("issued", &["web.flycast"], Some("o"), 9_000)]);
    assert_eq!(shown(&store, "p", Some("web.flycast")), "await");
    assert_eq!(shown(&store, "p", None), "await");
}

fn store_of_lapsed() -> Certificates<&'static str> {
    store(&[
        ("given", &["web.x"], None, 999),
        ("issued", &["web.flycast"], Some("o"), 9_000),
    ])
}

/// An issued one that has ended, or that lacks a name the app has since, is waited for.
#[test]
fn what_is_missing_is_awaited() {
    let ended = store(&[("issued", &["web.flycast"], Some("o"), 999)]);
    assert_eq!(shown(&ended, "o", None), "await");
    let older = store(&[("issued", &["web.flycast"], Some("o"), 9_000)]);
    assert_eq!(shown(&older, "o", Some("web.x")), "await the name");
    let given = store_of_lapsed();
    assert_eq!(
        shown(&given, "o", Some("web.x")),
        "await the name, ended 999"
    );
    assert_eq!(shown(&store(&[]), "o", Some("else.flycast")), "nothing");
    let soon = store(&[("issued", &["web.flycast"], Some("o"), 1_040)]);
    assert_eq!(shown(&soon, "o", None), "issued, renew");
}

/// A given one that has ended is not shown: it is told of, or the issued one is shown if it has the name.
#[test]
fn what_has_ended_is_not_shown() {
    let mut store = store(&[
        ("given", &["shop.example", "web.flycast"], None, 999),
        ("issued", &["web.flycast"], Some("o"), 9_000),
    ]);
    assert_eq!(shown(&store, "o", Some("shop.example")), "ended 999");
    assert_eq!(shown(&store, "o", Some("web.flycast")), "issued");
    store.del("issued");
    assert_eq!(shown(&store, "o", Some("web.flycast")), "await");
    store.del("given");
    assert!(store.is_empty() && shown(&store, "o", Some("shop.example")) == "nothing");
}
