//! Whom a TLS client wants to reach, read from the first bytes it sends and without taking part in
//! the handshake.
//!
//! A function of bytes: it reads no socket and keeps nothing. It is no TLS library on purpose. One that
//! speaks TLS refuses clients that the program behind might well take (an old version, an unknown
//! extension), and the only thing asked for here is the server name.

mod hello;
mod reader;
mod records;

/// The most bytes that are looked at, record headers included.
pub const MAX_HELLO: usize = 16 * 1024;

/// The first byte of every TLS connection: the type of a handshake record.
pub const HANDSHAKE: u8 = 0x16;

/// What a `ClientHello` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHello {
    /// The server name (RFC 6066, 3) in lower case and without a last dot; `None` when the client
    /// sent none.
    pub server_name: Option<String>,
}

/// The bytes are no beginning of a TLS connection. After this the connection is to be reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HelloError(pub &'static str);

/// Reads the `ClientHello` at the beginning of `bytes`; `None` when more bytes are needed. What follows
/// it is not looked at, nor anything behind the first [`MAX_HELLO`] bytes.
pub fn client_hello(bytes: &[u8]) -> Result<Option<ClientHello>, HelloError> {
    let bytes = bytes.get(..MAX_HELLO).unwrap_or(bytes);
    match records::handshake(bytes)? {
        Some(message) => hello::parse(&message).map(Some),
        None if bytes.len() >= MAX_HELLO => Err(HelloError("the ClientHello is too long")),
        None => Ok(None),
    }
}
