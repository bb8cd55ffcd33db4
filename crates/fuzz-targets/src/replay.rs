//! What a Machine says of replays: fields of its response, and JSON.

use roost_http1::{FieldSlots, FinishedHead, RequestFraming, RequestHead};
use roost_replay::{CacheOrder, Directive, Order, Transform};

const FIELDS: [&str; 4] = [
    "fly-replay",
    "fly-replay-cache",
    "fly-replay-cache-ttl-secs",
    "fly-replay-cache-allow-bypass",
];
/// The longest time that a replay is remembered, in seconds.
const WEEK: u64 = 7 * 24 * 3600;
/// A request as the proxy writes it.
const REQUEST: &[u8] =
    b"POST /a?b HTTP/1.1\r\nHost: web.flycast\r\nCookie: c\r\nA: 1\r\nContent-Length: 3\r\n\
    Fly-Client-IP: fdaa::1\r\nVia: 1.1 fly.io\r\n\r\n";

/// Each line is the value of one field, in the order of [`FIELDS`].
pub(crate) fn header(bytes: &[u8]) {
    let mut order = Order::default();
    for (field, value) in FIELDS.into_iter().zip(bytes.split(|byte| *byte == b'\n')) {
        order.note(field, value);
    }
    check(&order, None);
}

/// The body alone.
pub(crate) fn json(bytes: &[u8]) {
    check(&Order::default(), Some(bytes));
}

/// What is taken has nothing that could end a line of a head, no empty name, and is not remembered too long.
fn check(order: &Order, body: Option<&[u8]>) {
    let Ok(found) = order.read(body) else { return };
    assert_eq!(order.read(body).as_ref(), Ok(&found), "read alike");
    let _ = found.wish();
    for text in words(&found) {
        assert!(!text.is_empty(), "empty");
        assert!(
            text.bytes().all(|byte| !matches!(byte, b'\r' | b'\n' | 0)),
            "{text:?}"
        );
    }
    if let Some(transform) = &found.transform {
        changes(transform);
    }
    if let Some(CacheOrder::Remember(remember)) = &found.cache {
        assert!(remember.ttl <= WEEK && found.is_memorable());
        let path = remember.prefix.path();
        assert!(path.is_empty() || path.starts_with('/'), "{path:?}");
    }
}

/// A changed request is one, delimited as before and for one host, with what the proxy said of it.
fn changes(transform: &Transform) {
    let mut out = Vec::new();
    if FinishedHead::new(REQUEST)
        .write_edited(transform.edit(), &mut out)
        .is_err()
    {
        return;
    }
    let mut slots = FieldSlots::new();
    let head = RequestHead::parse(&out, &mut slots).expect("a request");
    assert_eq!(head.facts.framing, RequestFraming::Length(3));
    let changed = FinishedHead::new(&out);
    assert_eq!(changed.method(), "POST");
    assert_eq!(changed.path(), transform.path.as_deref().unwrap_or("/a?b"));
    for (once, value) in [
        ("content-length", "3"),
        ("fly-client-ip", "fdaa::1"),
        ("via", "1.1 fly.io"),
    ] {
        assert!(changed.values(once).eq([value.as_bytes()]), "{once}");
    }
    assert_eq!(changed.values("host").count(), 1);
}

fn words(found: &Directive) -> Vec<String> {
    let names = [&found.app, &found.instance, &found.prefer_instance];
    let names = names.into_iter().flatten().chain(&found.regions);
    let mut words: Vec<String> = names.map(ToString::to_string).collect();
    if let Some(transform) = &found.transform {
        words.extend(transform.path.clone());
        words.extend(transform.delete.clone());
        words.extend(
            transform
                .set
                .iter()
                .map(|(name, value)| format!("{name}: {value}")),
        );
    }
    words
}
