//! What must hold for any bytes that a reader of the network gets. A broken promise is a panic.
//!
//! `fuzz/` runs these under libFuzzer; `tests/corpus.rs` runs them on the corpus that is kept there and on a
//! fixed number of its mutations, which every build does.

// A target says what is wrong by panicking, and nothing here is part of the proxy.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used
)]

mod control;
mod dns;
mod http1;
mod peek;
mod replay;

/// What takes the bytes.
pub type Target = fn(&[u8]);

/// Every target, with the name of its corpus.
pub const TARGETS: [(&str, Target); 10] = [
    ("http1_request", http1::request),
    ("http1_response", http1::response),
    ("http1_chunks", http1::chunks),
    ("proxy_header", peek::proxy_header),
    ("client_hello", peek::client_hello),
    ("pg_startup", peek::pg_startup),
    ("replay_header", replay::header),
    ("replay_json", replay::json),
    ("dns_message", dns::message),
    ("control_line", control::lines),
];

/// Runs the target of this name. For `fuzz/`.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a target of this name");
    target(bytes);
}
