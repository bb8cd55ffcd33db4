//! The syntax of `Host` and of the authority in a request target (RFC 3986, 3.2; RFC 9110, 4.2).

/// Whether `text` is a host that is not empty, with an optional port. User information is refused.
pub(crate) fn is_valid(text: &[u8]) -> bool {
    let (host, port) = split(text);
    let host_ok = match host.strip_prefix(b"[") {
        Some(inner) => inner.strip_suffix(b"]").is_some_and(is_ip_literal),
        None => !host.is_empty() && host.iter().all(|byte| is_reg_name(*byte)),
    };
    host_ok && port.is_none_or(is_port)
}

/// The host without the port.
pub(crate) fn without_port(text: &[u8]) -> &[u8] {
    split(text).0
}

fn split(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let from = text.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    match text.iter().skip(from).position(|byte| *byte == b':') {
        Some(offset) => {
            let at = from + offset;
            (text.get(..at).unwrap_or_default(), text.get(at + 1..))
        }
        None => (text, None),
    }
}

fn is_port(port: &[u8]) -> bool {
    port.len() <= 5
        && port.iter().all(u8::is_ascii_digit)
        && port
            .iter()
            .fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'))
            <= 65_535
}

fn is_ip_literal(inner: &[u8]) -> bool {
    inner.len() >= 2
        && inner.contains(&b':')
        && inner
            .iter()
            .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
}

const fn is_reg_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'%'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_fine() {
        for host in [
            "a",
            "my-app.flycast",
            "a_b:80",
            "[fdaa::3]",
            "[fdaa::3]:65535",
            "10.0.0.1:1",
            "a:",
        ] {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn hosts_that_are_not() {
        for host in [
            "", ":80", "a b", "a/b", "a@b", "a:b", "a:1:2", "a:65536", "a:123456", "[fdaa::3",
            "fdaa::3", "[]", "[x]", "[ab]", "a,b/c", "a\"", "[::1]x", "[::1]:x", "a?b", "a#b",
            "\u{e4}",
        ] {
            assert!(!is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn the_port_is_cut_off() {
        assert_eq!(without_port(b"a:80"), b"a");
        assert_eq!(without_port(b"[fdaa::3]:80"), b"[fdaa::3]");
        assert_eq!(without_port(b"[fdaa::3]"), b"[fdaa::3]");
    }
}
