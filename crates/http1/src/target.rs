//! The four forms of a request target (RFC 9112, 3.2).

use crate::error::RequestError;
use crate::host;
use crate::method::Method;

/// A request target, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'b> {
    /// The authority of the absolute form. It takes the place of `Host`.
    pub authority: Option<&'b str>,
    /// What the Machine is asked for: a path with query, or `*`.
    pub path: &'b str,
    /// The absolute form named a query but no path: a `/` goes in front.
    pub needs_slash: bool,
}

const MALFORMED: RequestError = RequestError::Malformed("a request target of no valid form");

/// Reads `target` as `method` allows.
pub(crate) fn parse(target: &str, method: Method) -> Result<Target<'_>, RequestError> {
    if !target
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        return Err(RequestError::Malformed(
            "a byte in the request target that must be encoded",
        ));
    }
    if target.starts_with('/') {
        return Ok(Target {
            authority: None,
            path: target,
            needs_slash: false,
        });
    }
    if target == "*" {
        return match method {
            Method::Options => Ok(Target {
                authority: None,
                path: target,
                needs_slash: false,
            }),
            _ => Err(MALFORMED),
        };
    }
    absolute(target, method)
}

fn absolute(target: &str, method: Method) -> Result<Target<'_>, RequestError> {
    let (scheme, rest) = target.split_once("://").ok_or(MALFORMED)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(MALFORMED);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(MALFORMED)?;
    if !host::is_valid(authority.as_bytes()) {
        return Err(RequestError::Malformed(
            "an invalid host in the request target",
        ));
    }
    let path = match (path, method) {
        ("", Method::Options) => "*",
        ("", _) => "/",
        (path, _) => path,
    };
    Ok(Target {
        authority: Some(authority),
        path,
        needs_slash: path.starts_with('?'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_are_fine() {
        let of = |target, method| {
            let target = parse(target, method).unwrap();
            (target.authority, target.path, target.needs_slash)
        };
        assert_eq!(of("/a?b", Method::Get), (None, "/a?b", false));
        assert_eq!(of("//evil/a", Method::Get), (None, "//evil/a", false));
        assert_eq!(of("*", Method::Options), (None, "*", false));
        assert_eq!(of("http://a:80", Method::Get), (Some("a:80"), "/", false));
        assert_eq!(of("HTTPS://a", Method::Options), (Some("a"), "*", false));
        assert_eq!(of("http://a?q", Method::Get), (Some("a"), "?q", true));
        assert_eq!(
            of("http://[::1]/x", Method::Get),
            (Some("[::1]"), "/x", false)
        );
    }

    #[test]
    fn forms_that_are_not() {
        for target in [
            "*",
            "a:80",
            "a",
            "ftp://a/",
            "http:///x",
            "http://u@a/",
            "http:/a",
            "/a#b",
            "/\u{e4}",
            "",
            "://a",
        ] {
            assert!(parse(target, Method::Get).is_err(), "{target}");
        }
    }
}
