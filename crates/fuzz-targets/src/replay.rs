//! What a Machine says of replays: fields of its response, and JSON.

use roost_replay::{CacheOrder, Directive, Order};

const FIELDS: [&str; 4] = [
    "fly-replay",
    "fly-replay-cache",
    "fly-replay-cache-ttl-secs",
    "fly-replay-cache-allow-bypass",
];
/// The longest time that a replay is remembered, in seconds.
const WEEK: u64 = 7 * 24 * 3600;

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
    if let Some(CacheOrder::Remember(remember)) = &found.cache {
        assert!(remember.ttl <= WEEK && found.is_memorable());
        let path = remember.prefix.path();
        assert!(path.is_empty() || path.starts_with('/'), "{path:?}");
    }
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
