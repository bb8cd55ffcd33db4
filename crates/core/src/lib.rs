//! What the data plane decides, without any I/O: the routing table and, per app, who serves whom.
//!
//! Time is a `u64` of microseconds from any fixed start and randomness is an argument, so that every
//! decision can be replayed in a test. The shell around it is `roost-proxy`.

mod app;
mod balance;
mod certificates;
mod circuit;
mod decision;
mod entry;
mod guest;
mod handling;
mod health;
mod limits;
mod queue;
mod rate;
mod regions;
mod table;
mod tended;
mod wish;

pub use app::{AppState, LoadLine};
pub use certificates::{Certificates, Choice, Gap, Validity, Visit};
pub use decision::{
    Effect, Fate, Grant, Life, Moment, Plea, Probe, ProbeWish, Refusal, Request, Run, RunWish,
    SlotKey, Verdict, WaiterId, Watch,
};

pub use guest::HandedOver;
pub use handling::Handling;
pub use limits::Limits;
pub use rate::Rates;
pub use table::{Call, Offer, Place, Release, Table, Touched};
pub use wish::Wish;

/// Microseconds since a fixed start.
pub type Micros = u64;
