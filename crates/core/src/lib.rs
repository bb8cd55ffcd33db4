//! What the data plane decides, without any I/O: the routing table and, per app, who serves whom.
//!
//! Time is a `u64` of microseconds from any fixed start and randomness is an argument, so that every
//! decision can be replayed in a test. The shell around it is `roost-proxy`.

mod app;
mod balance;
mod decision;
mod entry;
mod guest;
mod limits;
mod queue;
mod regions;
mod table;
mod wish;

pub use app::{AppState, LoadLine};
pub use decision::{
    Effect, Grant, Moment, Plea, Probe, ProbeWish, Refusal, Request, SlotKey, Verdict, WaiterId,
};

pub use guest::HandedOver;
pub use limits::Limits;
pub use table::{Call, Offer, Release, Table, Touched};
pub use wish::Wish;

/// Microseconds since a fixed start.
pub type Micros = u64;
