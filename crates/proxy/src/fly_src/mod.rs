//! `Fly-Src`: tells a Machine which Machine calls it, signed so that it need not believe its network.
//!
//! The value names the called app too, so that who gets it cannot pass it on and be taken for its caller
//! somewhere else; and it is good for seconds only. Machines get the public key by DNS.

mod key;
mod lines;

pub(crate) use key::{KeyError, Signer};
pub(crate) use lines::{Line, Lines};
