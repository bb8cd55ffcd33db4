//! UDP services: flows of datagrams between a caller and a Machine.
//!
//! Datagrams of one caller (address and port) to one called address and port are a *flow*: one unit of
//! load, which goes to one Machine until nothing was said for a while. All of a flow's datagrams arrive on
//! one thread, since the kernel spreads them by both ends. The first ones are held, bounded, while a
//! Machine wakes. Towards the Machine each flow has a socket of its own, so what the Machine answers finds
//! its way back; the caller hears from the address and port it called.
//!
//! The port is never rewritten: a UDP service is called at the port it listens on.

mod bounds;
mod flow;
mod flows;
mod held;
mod listening;
mod open;
mod socket;
mod take;

pub(crate) use bounds::Totals;
pub(crate) use flows::Flows;
pub(crate) use take::Taker;
