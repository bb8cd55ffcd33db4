//! Whatever a Machine says, it is understood or refused, and cannot change how a request is delimited.

#![allow(missing_docs)]
// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use roost_http1::{FieldSlots, FinishedHead, RequestHead};
use roost_replay::{Directive, Order, Prefix};

const HEAD: &[u8] =
    b"POST /a?b HTTP/1.1\r\nHost: web.flycast\r\nCookie: c=1\r\nX: 1\r\nContent-Length: 3\r\n\
    X-Forwarded-For: fdaa::1\r\nFly-Client-IP: fdaa::1\r\nVia: 1.1 fly.io\r\n\r\n";

/// Text that is often nearly right.
fn words(parts: &'static [&'static str]) -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => proptest::sample::select(parts).prop_map(str::to_owned),
        1 => "\\PC{0,4}",
        1 => proptest::sample::select(&["\r\n", "\0", "\u{e4}", "\"", " "][..]).prop_map(str::to_owned),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

const HEADER: &[&str] = &[
    "app=",
    "web",
    ";",
    "region=",
    "\"sjc,any\"",
    "instance=",
    "00bb33ff",
    "prefer_instance=",
    "state=",
    "elsewhere=",
    "true",
    "timeout=",
    "10s",
    "800ms",
    "fallback=",
    "force_self",
    "=",
    ",",
    "iad",
];
const NAMES: &[&str] = &[
    "host",
    "Host",
    "content-length",
    "transfer-encoding",
    "x",
    "X-Y",
    "cookie",
    "fly-",
    "client-ip",
    "src",
    "connection",
    "te",
    "upgrade",
    "_",
    "-",
    "expect",
    "via",
    "x-forwarded-for",
    ":",
    "\r\n",
];
const VALUES: &[&str] = &[
    "a",
    "1",
    " ",
    "chunked",
    "\r\nX: y",
    "\r\n\r\nGET / HTTP/1.1",
    "b:80",
    "\t",
    "/",
];
const PATHS: &[&str] = &[
    "/",
    "a",
    "?",
    "=",
    "%20",
    " HTTP/1.1\r\nX: y",
    "#",
    "*",
    "//",
    "http://b/",
];

fn order(replay: &str) -> Result<Directive, roost_replay::Invalid> {
    let mut order = Order::default();
    order.note("fly-replay", replay.as_bytes());
    order.read(None)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The header is taken or refused; what is taken holds nothing that could end a line.
    #[test]
    fn any_header(text in words(HEADER)) {
        if let Ok(found) = order(&text) {
            let state = found.state.clone().unwrap_or_default();
            prop_assert!(state.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
            prop_assert!(!state.contains(';'));
            let names = [&found.app, &found.instance, &found.prefer_instance];
            for name in names.into_iter().flatten().chain(&found.regions) {
                prop_assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()));
            }
            let _ = found.wish();
        }
    }

    /// Bytes of any kind as a JSON body.
    #[test]
    fn any_body(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Order::default().read(Some(&bytes));
    }

    /// A request whose head was changed is the same request for a strict reader: delimited as before, and
    /// with the proxy's own fields.
    #[test]
    fn a_changed_head_is_delimited_as_before(
        path in proptest::option::of(words(PATHS)),
        delete in proptest::collection::vec(words(NAMES), 0..4),
        set in proptest::collection::vec((words(NAMES), words(VALUES)), 0..4),
    ) {
        let set: Vec<_> = set.iter().map(|(name, value)| serde_json::json!({"name": name, "value": value})).collect();
        let body = serde_json::json!({
            "app": "b", "transform": {"path": path, "delete_headers": delete, "set_headers": set},
        });
        let Ok(found) = Order::default().read(Some(body.to_string().as_bytes())) else {
            return Ok(());
        };
        let mut out = Vec::new();
        FinishedHead::new(HEAD).write_edited(found.transform.as_ref().unwrap().edit(), &mut out).unwrap();
        let (mut old_slots, mut new_slots) = (FieldSlots::new(), FieldSlots::new());
        let old = RequestHead::parse(HEAD, &mut old_slots).unwrap();
        let new = RequestHead::parse(&out, &mut new_slots).unwrap();
        prop_assert_eq!(old.facts, new.facts);
        for name in ["x-forwarded-for", "fly-client-ip", "via", "content-length"] {
            let values = |bytes| FinishedHead::new(bytes).values(name).map(<[u8]>::to_vec).collect::<Vec<_>>();
            prop_assert_eq!(values(HEAD), values(&out), "{}", name);
        }
        prop_assert_eq!(FinishedHead::new(&out).values("host").count(), 1);
    }

    /// A pattern that is taken matches itself, and nothing that only begins like it.
    #[test]
    fn any_prefix(text in words(PATHS)) {
        if let Ok(prefix) = Prefix::parse("p", &text) {
            let path = if prefix.path().is_empty() { "/" } else { prefix.path() };
            let below = format!("{}/x", prefix.path());
            if !text.starts_with(|one: char| one != '/') {
                prop_assert!(prefix.matches("h", path) && prefix.matches("h", &below));
            }
            if !prefix.path().is_empty() {
                let beside = format!("{}x", prefix.path());
                prop_assert!(!prefix.matches("h", &beside));
            }
        }
    }
}
