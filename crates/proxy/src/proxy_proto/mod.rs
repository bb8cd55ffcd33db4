//! The PROXY protocol: the header that callers of some ports begin with, and the one that some Machines get.

mod inbound;
mod outbound;

pub(crate) use inbound::{Proxied, read};
pub(crate) use outbound::header;
