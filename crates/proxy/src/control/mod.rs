//! The agent's side of the process: one Unix socket, one agent at a time.
//!
//! All of it runs on one thread and changes the table there, one message after the other.

mod apply;
mod report;
mod server;
mod session;
mod socket;

pub(crate) use apply::settled;
pub(crate) use server::{Signals, serve};
pub(crate) use socket::{bind, must_be_ours};
