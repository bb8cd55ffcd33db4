//! Dynamic request routing without sockets: what an app says with `fly-replay`, what a caller says with
//! `fly-prefer-…` and `fly-force-…`, what is remembered of it, and what Machines are told about it.
//!
//! Everything here is a function of bytes and of a time that is an argument. Counterpart: the module
//! `replay` of `roost-proxy`, which sends requests again.
//!
//! An app's words are read strictly: what cannot be read, or means nothing, is an [`Invalid`] that names the
//! field. They come from a Machine, which is trusted no more than a caller: every length is bounded, and
//! nothing it says can change how a request is delimited or what the proxy itself says about it.

mod cache;
mod directive;
mod duration;
mod error;
mod header;
mod json;
mod lines;
mod order;
mod prefix;
mod rule;
mod wanted;

pub use cache::{Cached, Lookup, MAX_BYTES, MAX_ENTRIES, ReplayCache};
pub use directive::{CacheOrder, Directive, Fallback, Remember, Transform};
pub use error::Invalid;
pub use lines::{Failure, Reason, Source, cache_status, preferred_unavailable};
pub use order::{MAX_JSON, Order};
pub use prefix::Prefix;
pub use rule::{Rule, RuleKind};
pub use wanted::Wanted;
