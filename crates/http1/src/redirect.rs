//! Where `force_https` sends a plaintext request.

use crate::host;
use crate::request::RequestHead;

/// Appends `https://<host without port>[:port]<path>`; the port is left out when it is 443.
///
/// False, with nothing written, when the request names no host (HTTP/1.0).
pub fn write_https_location(head: &RequestHead<'_, '_>, port: u16, out: &mut Vec<u8>) -> bool {
    let Some(called) = head.called_host() else {
        return false;
    };
    out.extend_from_slice(b"https://");
    out.extend_from_slice(host::without_port(called));
    if port != 443 {
        out.extend_from_slice(format!(":{port}").as_bytes());
    }
    if head.target.path == "*" {
        out.push(b'/');
        return true;
    }
    if head.target.needs_slash {
        out.push(b'/');
    }
    out.extend_from_slice(head.target.path.as_bytes());
    true
}
