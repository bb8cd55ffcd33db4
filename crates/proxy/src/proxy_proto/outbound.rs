//! The header that a Machine gets before anything else.

use roost_proxy_proto::{Checksum, Ends, Origin, Ssl, Tlv, Transport, kind, write_v1, write_v2};
use roost_wire::ProxyProtoVersion;

use crate::client::TlsFacts;
use crate::route::Target;

/// Says who called and what. Who came with a header of its own is passed on as that said: the Machine
/// learns from where to where the connection was at first. Version 2 says too what TLS was like that ended
/// here; of that only this proxy knows, whatever a header before it said.
pub(crate) fn header(
    target: &Target,
    version: ProxyProtoVersion,
    tls: Option<&TlsFacts>,
) -> Vec<u8> {
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
    let own = tls.map(|tls| (tls, ssl(tls)));
    let said = proxied.into_iter().flat_map(super::Proxied::tlvs);
    let said = said.filter(|one| tls.is_none() || !OF_TLS.contains(&one.kind));
    let own = own.iter().flat_map(|(tls, ssl)| of_tls(tls, ssl));
    // What was read is far shorter than what may be written.
    if let Err(error) = write_v2(&origin, said.chain(own), checksum, &mut out) {
        tracing::error!(%error, "what a PROXY header said is left out");
        let _ = write_v2(&origin, [], checksum, &mut out);
    }
    out
}

/// What is said of TLS.
const OF_TLS: [u8; 3] = [kind::ALPN, kind::AUTHORITY, kind::SSL];

fn ssl(tls: &TlsFacts) -> Vec<u8> {
    let (version, cipher) = (tls.version, tls.cipher);
    Ssl { version, cipher }.value()
}

fn of_tls<'t>(tls: &'t TlsFacts, ssl: &'t [u8]) -> impl Iterator<Item = Tlv<'t>> {
    let facts = [
        (kind::ALPN, tls.alpn.as_deref()),
        (kind::AUTHORITY, tls.name.as_deref().map(str::as_bytes)),
        (kind::SSL, Some(ssl)),
    ];
    let known = |(kind, value): (u8, Option<&'t [u8]>)| value.map(|value| Tlv { kind, value });
    facts.into_iter().filter_map(known)
}
