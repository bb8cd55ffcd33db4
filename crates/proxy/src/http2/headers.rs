//! Fields of one form of HTTP in the other.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Adds a field that was read in HTTP/1.1, whose names and values HTTP/2 takes too.
pub(super) fn add(to: &mut HeaderMap, name: &str, value: &[u8]) {
    let name = HeaderName::from_bytes(name.as_bytes());
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
        // It fails beyond 32,768 names; a head has far fewer.
        let _ = to.try_append(name, value);
    }
}
