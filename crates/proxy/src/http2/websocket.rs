//! The opening of a WebSocket, which has a key in HTTP/1.1 (RFC 6455, 4) and none in HTTP/2 (RFC 8441).

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustix::rand::{GetRandomFlags, getrandom};

/// The only protocol that a stream is opened for.
pub(super) const PROTOCOL: &str = "websocket";
/// The name of what the side that opens sends.
pub(super) const KEY: &str = "sec-websocket-key";
/// The name of what proves that the other side understood.
pub(super) const ACCEPT: &str = "sec-websocket-accept";

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key that nobody can foresee. Fails only when the kernel has no randomness.
pub(super) fn new_key() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(STANDARD.encode(bytes))
}

/// What the answer to `key` says.
pub(super) fn accept_for(key: &[u8]) -> String {
    let text = [key, GUID].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455, 1.3.
    #[test]
    fn answers_the_example_of_the_standard() {
        let accept = accept_for(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
