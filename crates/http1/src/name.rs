//! What a field name means to the proxy.

/// The names the proxy acts on. All others are [`Name::Other`] and pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Other,
    AcceptEncoding,
    AcceptRanges,
    CacheControl,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentRange,
    ContentType,
    Date,
    Etag,
    Expect,
    FlyReplay,
    /// Set by the proxy alone: a caller's own is forged and dropped.
    ProxySet,
    /// Meant for the next hop only and not spoken here.
    HopByHop,
    Host,
    /// Says where the caller wants the request to go. Passes.
    Routing,
    Server,
    Te,
    TransferEncoding,
    Upgrade,
    XForwardedFor,
    XForwardedPort,
    /// A known name with `_` in place of `-`. Many application gateways take the two for the same, so it
    /// could pass for the real one there.
    Disguised,
}

/// No name below is longer.
const LONGEST: usize = 34;

impl Name {
    /// Looks the name up, without regard to case.
    pub(crate) fn of(name: &[u8]) -> Self {
        let mut lower = [0; LONGEST];
        let Some(lower) = lower.get_mut(..name.len()) else {
            return Self::Other;
        };
        let mut disguised = false;
        for (to, from) in lower.iter_mut().zip(name) {
            disguised |= *from == b'_';
            *to = if *from == b'_' {
                b'-'
            } else {
                from.to_ascii_lowercase()
            };
        }
        match Self::lookup(lower) {
            Self::Other => Self::Other,
            _ if disguised => Self::Disguised,
            known => known,
        }
    }

    fn lookup(lower: &[u8]) -> Self {
        match lower {
            b"accept-encoding" => Self::AcceptEncoding,
            b"accept-ranges" => Self::AcceptRanges,
            b"cache-control" => Self::CacheControl,
            b"connection" => Self::Connection,
            b"content-encoding" => Self::ContentEncoding,
            b"content-length" => Self::ContentLength,
            b"content-range" => Self::ContentRange,
            b"content-type" => Self::ContentType,
            b"date" => Self::Date,
            b"etag" => Self::Etag,
            b"expect" => Self::Expect,
            b"host" => Self::Host,
            b"server" => Self::Server,
            b"te" => Self::Te,
            b"transfer-encoding" => Self::TransferEncoding,
            b"upgrade" => Self::Upgrade,
            b"x-forwarded-for" => Self::XForwardedFor,
            b"x-forwarded-port" => Self::XForwardedPort,
            b"keep-alive" | b"proxy-connection" | b"http2-settings" => Self::HopByHop,
            b"x-forwarded-proto" | b"x-forwarded-ssl" => Self::ProxySet,
            _ => Self::lookup_fly(lower),
        }
    }

    fn lookup_fly(lower: &[u8]) -> Self {
        let Some(rest) = lower.strip_prefix(b"fly-") else {
            return Self::Other;
        };
        match rest {
            b"client-ip"
            | b"forwarded-port"
            | b"region"
            | b"replay-src"
            | b"replay-failed"
            | b"replay-cache-status"
            | b"preferred-instance-unavailable"
            | b"src"
            | b"src-signature"
            | b"request-id" => Self::ProxySet,
            b"replay"
            | b"replay-cache"
            | b"replay-cache-ttl-secs"
            | b"replay-cache-allow-bypass" => Self::FlyReplay,
            b"prefer-region"
            | b"force-region"
            | b"prefer-instance-id"
            | b"force-instance-id"
            | b"replay-cache-control" => Self::Routing,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_matter_and_underscores_are_a_disguise() {
        assert_eq!(Name::of(b"Content-LENGTH"), Name::ContentLength);
        assert_eq!(Name::of(b"Fly-Client-IP"), Name::ProxySet);
        assert_eq!(Name::of(b"fly_client_ip"), Name::Disguised);
        assert_eq!(Name::of(b"Transfer_Encoding"), Name::Disguised);
        assert_eq!(Name::of(b"x_custom"), Name::Other);
        assert_eq!(
            Name::of(b"fly-preferred-instance-unavailable"),
            Name::ProxySet
        );
        assert_eq!(Name::of(&[b'a'; 200]), Name::Other);
        assert_eq!(Name::of(b""), Name::Other);
    }

    #[test]
    fn routing_fields_are_known() {
        for name in [
            "fly-prefer-region",
            "fly-force-region",
            "fly-prefer-instance-id",
            "fly-force-instance-id",
            "fly-replay-cache-control",
        ] {
            assert_eq!(Name::of(name.as_bytes()), Name::Routing);
        }
    }
}
