//! Which requests a replay is remembered for: `[host]/path/*`.

use crate::error::Invalid;

/// The longest pattern.
const MAX_LEN: usize = 512;

/// A path and all below it, on one host name or on the one that was called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// In lower case; `None` means any.
    host: Option<String>,
    /// Without a slash at its end; empty means all paths.
    path: String,
}

impl Prefix {
    /// Reads the value of `field`. A `*` may only stand at the end, after a slash, and need not.
    pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        let slash = text.find('/');
        let slash = slash.ok_or_else(|| Invalid::field(field, "has no path"))?;
        if text.len() > MAX_LEN {
            return Err(Invalid::field(field, "is longer than 512 bytes"));
        }
        let (host, path) = text.split_at_checked(slash).unwrap_or_default();
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if !host.bytes().all(is_host) {
            return Err(Invalid::field(
                field,
                "has a host that is no name (ports do not go here)",
            ));
        }
        let path = path
            .strip_suffix("/*")
            .unwrap_or(path)
            .trim_end_matches('/');
        let is_path = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'?' | b'#');
        if !path.bytes().all(is_path) {
            let what = "has a path with a * in the middle, a query, or a byte that must be encoded";
            return Err(Invalid::field(field, what));
        }
        Ok(Self {
            host: (!host.is_empty()).then(|| host.to_ascii_lowercase()),
            path: path.to_owned(),
        })
    }

    /// The path, without a slash at its end.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Bytes of its text.
    pub(crate) fn len(&self) -> usize {
        self.path.len() + self.host.as_ref().map_or(0, String::len)
    }

    /// Whether a request for `path` (a query may follow) on `host` (in lower case, without port) is meant.
    pub fn matches(&self, host: &str, path: &str) -> bool {
        self.host.as_deref().is_none_or(|own| own == host)
            && path.strip_prefix(&*self.path).is_some_and(is_boundary)
    }

    /// The prefixes of a request's path that could be remembered, the longest first, each as
    /// [`Self::path`] gives it.
    pub(crate) fn of_path(path: &str) -> impl Iterator<Item = &str> {
        let end = path.find('?').unwrap_or(path.len()).min(MAX_LEN);
        let slashes = path.bytes().take(end).enumerate();
        let cuts: Vec<usize> = slashes
            .filter(|(_, byte)| *byte == b'/')
            .map(|(at, _)| at)
            .collect();
        let whole = path.get(..end).filter(|path| !path.ends_with('/'));
        let parts = cuts.into_iter().rev().filter_map(move |at| path.get(..at));
        whole
            .into_iter()
            .chain(parts.filter(|part| !part.ends_with('/')))
    }
}

/// Whether a path means what its bytes say: a server may take dot segments, encoded or not, for a way up, and
/// other bytes for slashes, so that `/a/../b` begins with `/a` and is not below it.
pub(crate) fn is_plain(path: &str) -> bool {
    let end = path.find('?').unwrap_or(path.len());
    let path = path.get(..end).unwrap_or_default().to_ascii_lowercase();
    let hidden = ["%2f", "%5c", "\\"].iter().any(|one| path.contains(one));
    let mut segments = path.split('/');
    !hidden && !segments.any(is_dots)
}

/// `.` or `..`, perhaps with parameters.
fn is_dots(segment: &str) -> bool {
    let segment = segment.replace("%2e", ".");
    let name = segment.split(';').next().unwrap_or_default();
    matches!(name, "." | "..")
}

fn is_boundary(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['/', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        Prefix::parse("prefix", text).unwrap()
    }

    #[test]
    fn whole_segments_match() {
        for text in ["/a/b", "/a/b/", "/a/b/*"] {
            let prefix = prefix(text);
            for path in ["/a/b", "/a/b/", "/a/b/c?d", "/a/b?c"] {
                assert!(prefix.matches("h", path), "{text} {path}");
            }
            for path in ["/a/bc", "/a", "/", "/A/b", "*"] {
                assert!(!prefix.matches("h", path), "{text} {path}");
            }
        }
        assert!(prefix("/").matches("h", "/anything"));
        assert!(prefix("/*").matches("h", "/"));
        assert!(prefix("Example.COM/a").matches("example.com", "/a"));
        assert!(!prefix("example.com/a").matches("other.com", "/a"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "a",
            "example.com",
            "example.com:80/a",
            "/a*",
            "/*/a",
            "/a?b",
            "/a b",
            "a b/",
        ] {
            assert!(Prefix::parse("prefix", text).is_err(), "{text}");
        }
    }

    #[test]
    fn dots_and_hidden_slashes_are_not_plain() {
        for path in [
            "/",
            "/a/b",
            "/.well-known/x",
            "/a..b/...",
            "/a?b=/../c",
            "//a",
            "*",
            "/a;x",
        ] {
            assert!(is_plain(path), "{path}");
        }
        for path in [
            "/a/../b",
            "/a/..",
            "/./a",
            "/a/%2E%2e/b",
            "/a/.%2e;x/b",
            "/a/..;/b",
            "/a%2Fb",
            "/a\\..\\b",
            "/a%5cb",
        ] {
            assert!(!is_plain(path), "{path}");
        }
    }

    /// The candidates of a path are exactly the patterns that match it.
    #[test]
    fn candidates_are_the_matching_prefixes() {
        let of = |path| Prefix::of_path(path).collect::<Vec<_>>();
        assert_eq!(of("/a/b?x=/y"), ["/a/b", "/a", ""]);
        assert_eq!(of("/a/"), ["/a", ""]);
        assert_eq!(of("/"), [""]);
        assert_eq!(of("//a"), ["//a", ""]);
        for path in ["/a/b?x=/y", "/a/", "/", "//a"] {
            for part in of(path) {
                assert!(
                    prefix(&format!("{part}/*")).matches("h", path),
                    "{part} {path}"
                );
            }
        }
    }
}
