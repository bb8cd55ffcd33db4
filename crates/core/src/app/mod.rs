//! The routing state of one app: who serves, who waits, who is being woken.
//!
//! Every transition is a method that changes the state and returns what the shell has to do. A unit
//! of load is reserved before the shell connects, so a hard limit holds exactly however many threads
//! call. Who has to wait stands in one first-come-first-served line; whoever it is that frees a place
//! gives it to the first in line that can use it.

mod calls;
mod machines;
mod placing;
mod readiness;
mod refusals;
mod reports;

use roost_wire::{Name, TransportPort};

use crate::entry::Entry;
use crate::queue::Queue;

/// Load of one service: Machine, internal port, now and peak since the last report.
pub type LoadLine = (Name, TransportPort, u32, u32);

/// The routing state of one app.
#[derive(Debug, Default)]
pub struct AppState {
    pub(crate) entries: Vec<Entry>,
    pub(crate) queue: Queue,
    pub(crate) next_epoch: u64,
    pub(crate) active: bool,
    /// Another proxy has taken over and decides.
    pub(crate) guest: bool,
}
