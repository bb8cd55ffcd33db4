//! One proxy takes over from another: listening sockets, units of load, those who wait.
//!
//! The *heir* connects to a socket of the *elder* (`<control socket>.handover`). The elder stops accepting,
//! though its sockets stay open, so whoever calls meanwhile waits in them; it passes the sockets and says
//! what is under way. When the heir has everything the elder lets go, and only then the heir accepts. If
//! either ends before that, or takes too long, the other goes on as if nothing had been
//! (`docs/decisions/0018-handover.md`).
//!
//! From then on the heir alone gives units of load: the elder, whose connections go on, asks it for what
//! they still need and tells what they give back ([`heirs`]); the heir counts all of it ([`lender`]).

mod channel;
mod give;
mod heirs;
mod lender;
mod take;

use std::io;

use tokio::time::error::Elapsed;

pub(crate) use give::offer;
pub(crate) use heirs::Heirs;
pub(crate) use take::take_over;

/// What came of something that had a time limit.
fn stopped_in_time<T>(result: Result<io::Result<T>, Elapsed>) -> io::Result<T> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "the other proxy takes too long");
    result.unwrap_or_else(|_| Err(late()))
}
