//! The request of an HTTP check.

use http::{HeaderName, HeaderValue, Method, Uri, header};
use roost_wire::{HttpCheck, Name};

const AGENT: &str = concat!("roost-health-check/", env!("CARGO_PKG_VERSION"));

/// The bytes of the request, or what is wrong with it. The agent sends none that is wrong, but a line
/// break in a header would make two requests of one.
pub(super) fn write(check: &HttpCheck, host: &str) -> Result<Vec<u8>, String> {
    let method = Method::from_bytes(check.method.as_bytes());
    let method = method.map_err(|_| "the check's method is no method".to_owned())?;
    let path: Result<Uri, _> = check.path.parse();
    if !check.path.starts_with('/') || path.is_err() {
        return Err("the check's path is no path".to_owned());
    }
    let mut out = format!("{method} {} HTTP/1.1\r\n", check.path).into_bytes();
    let usual = [
        (header::HOST, host),
        (header::USER_AGENT, AGENT),
        (header::ACCEPT, "*/*"),
    ];
    for (name, value) in usual {
        let own = |(given, _): &(Name, Name)| given.eq_ignore_ascii_case(name.as_str());
        if !check.headers.iter().any(own) {
            line(&mut out, name.as_str(), value)?;
        }
    }
    for (name, value) in &check.headers {
        line(&mut out, name, value)?;
    }
    if matches!(method, Method::POST | Method::PUT | Method::PATCH) {
        line(&mut out, "content-length", "0")?;
    }
    line(&mut out, "connection", "close")?;
    out.extend_from_slice(b"\r\n");
    Ok(out)
}

fn line(out: &mut Vec<u8>, name: &str, value: &str) -> Result<(), String> {
    let good =
        HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok();
    if !good {
        return Err(format!(
            "the check's header {} is no header",
            name.escape_debug()
        ));
    }
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::write;
    use roost_wire::HttpCheck;

    fn text(check: &HttpCheck) -> Result<String, String> {
        write(check, "web.flycast").map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The usual fields are there once, and a check's own take their place.
    #[test]
    fn own_headers_replace_the_usual_ones() {
        let mut check = HttpCheck::default();
        let usual = text(&check).unwrap_or_default();
        assert!(usual.starts_with("GET / HTTP/1.1\r\nhost: web.flycast\r\nuser-agent: roost"));
        assert!(usual.ends_with("connection: close\r\n\r\n"));
        check.method = "POST".into();
        check.headers = vec![("Host".into(), "other".into()), ("X-A".into(), "1".into())];
        let own = text(&check).unwrap_or_default();
        assert!(!own.contains("web.flycast") && own.contains("Host: other\r\nX-A: 1\r\n"));
        assert!(own.contains("content-length: 0\r\n"));
    }

    /// Nothing can break out of its line.
    #[test]
    fn wrong_requests_are_not_sent() {
        let wrong = |change: fn(&mut HttpCheck)| {
            let mut check = HttpCheck::default();
            change(&mut check);
            text(&check).is_err()
        };
        assert!(wrong(|check| check.path = "/ HTTP/1.1\r\nX: 1".into()));
        assert!(wrong(|check| check.path = "up".into()));
        assert!(wrong(|check| check.method = "GET /".into()));
        assert!(wrong(
            |check| check.headers = vec![("a".into(), "1\r\nb: 2".into())]
        ));
        assert!(wrong(
            |check| check.headers = vec![("a b".into(), "1".into())]
        ));
    }
}
