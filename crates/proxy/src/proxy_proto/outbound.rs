//! The header that a Machine gets before anything else.

use roost_proxy_proto::{Checksum, Ends, Origin, Transport, write_v1, write_v2};
use roost_wire::ProxyProtoVersion;

use crate::route::Target;

/// Says who called and what. Who came with a header of its own is passed on as that said: the Machine
/// learns from where to where the connection was at first.
pub(crate) fn header(target: &Target, version: ProxyProtoVersion) -> Vec<u8> {
    let proxied = target.proxied.as_deref();
    let own = Ends {
        source: target.client,
        destination: target.local,
    };
    let ends = proxied.and_then(|proxied| proxied.ends).unwrap_or(own);
    let mut out = Vec::new();
    if version == ProxyProtoVersion::V1 {
        write_v1(Some(ends), &mut out);
        return out;
    }
    let transport = Transport::Stream;
    let origin = Origin::Inet { transport, ends };
    let summed = proxied.is_some_and(super::Proxied::is_summed);
    let checksum = if summed {
        Checksum::With
    } else {
        Checksum::Without
    };
    let said = proxied.into_iter().flat_map(super::Proxied::tlvs);
    // What was read is far shorter than what may be written.
    if let Err(error) = write_v2(&origin, said, checksum, &mut out) {
        tracing::error!(%error, "what a PROXY header said is left out");
        let _ = write_v2(&origin, [], checksum, &mut out);
    }
    out
}
