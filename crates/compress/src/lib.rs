//! Content codings for responses: which one a client takes, which responses gain, and the encoders.
//!
//! Everything here is a function of bytes (RFC 9110, 8.4 and 12.5.3). It reads no socket.

mod accept;
mod coding;
mod encoder;
mod media_type;

pub use accept::choose;
pub use coding::Coding;
pub use encoder::Encoder;
pub use media_type::is_compressible;

/// Bodies that are known to be shorter gain nothing: they fit into one packet.
pub const LEAST_LENGTH: u64 = 1024;
