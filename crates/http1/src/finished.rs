//! A request head that is written already: what it says, and how it may still be changed.
//!
//! A request that is sent again to another app may be changed on the way by the app that sent it there. Its
//! head is edited as bytes, so that this works the same whatever the client spoke. What frames the message,
//! and what the proxy says about it, is not theirs to change.

use std::fmt;

use crate::fields::{MAX_FIELDS, is_field_name, is_field_value, write_field};
use crate::host;
use crate::name::Name;
use crate::scan::{MAX_FIRST_LINE, MAX_HEAD};

/// A request head as [`crate::ForwardedFields::write_request`] wrote it.
#[derive(Debug, Clone, Copy)]
pub struct FinishedHead<'b>(&'b [u8]);

/// Changes to a head. Their parts have been checked by [`HeadChange`].
#[derive(Debug, Clone, Copy, Default)]
pub struct HeadEdit<'a> {
    /// The new path and query.
    pub path: Option<&'a str>,
    /// Names of fields to leave out.
    pub delete: &'a [String],
    /// Fields to set; others of these names are left out.
    pub set: &'a [(String, String)],
}

/// The changed head would be larger than a head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the changed request head is larger than {MAX_HEAD} bytes or has too many fields")]
pub struct HeadTooLarge;

/// Whether a change may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadChange {
    /// It may.
    Fine,
    /// The name is none.
    BadName,
    /// The value could end the line, or is none for this field.
    BadValue,
    /// The field frames the message, belongs to the connection, or is the proxy's word.
    NotTheirs,
}

impl HeadChange {
    /// Whether `path` can stand in a request line: in origin form (RFC 9112, 3.2.1).
    pub fn is_path(path: &str) -> bool {
        let valid = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        path.starts_with('/') && path.len() <= MAX_FIRST_LINE && path.bytes().all(valid)
    }

    /// Whether a field may be left out.
    pub fn of_deletion(name: &str) -> Self {
        match Name::of(name.as_bytes()) {
            _ if !is_field_name(name) => Self::BadName,
            _ if is_via(name) => Self::NotTheirs,
            Name::Other
            | Name::ContentEncoding
            | Name::ContentType
            | Name::Date
            | Name::FlyReplay
            | Name::Routing
            | Name::Server => Self::Fine,
            _ => Self::NotTheirs,
        }
    }

    /// Whether a field may be set to a value. `Host` may: who a request is for was decided without it.
    pub fn of_field(name: &str, value: &str) -> Self {
        let meaning = Name::of(name.as_bytes());
        match meaning {
            _ if !is_field_name(name) => Self::BadName,
            Name::Host if !host::is_valid(value.as_bytes()) => Self::BadValue,
            Name::Other
            | Name::ContentEncoding
            | Name::ContentType
            | Name::Date
            | Name::Host
            | Name::Server => {
                if is_flys(name) || is_via(name) {
                    Self::NotTheirs
                } else if is_field_value(value) {
                    Self::Fine
                } else {
                    Self::BadValue
                }
            }
            _ => Self::NotTheirs,
        }
    }
}

/// Whether the field tells the way that a request came.
fn is_via(name: &str) -> bool {
    name.eq_ignore_ascii_case("via")
}

/// Whether the name is in the part that belongs to the proxy, known today or not.
fn is_flys(name: &str) -> bool {
    let start = name.as_bytes().get(..4).unwrap_or_default();
    start.eq_ignore_ascii_case(b"fly-") || start.eq_ignore_ascii_case(b"fly_")
}

impl<'b> FinishedHead<'b> {
    /// Of a head that ends with its empty line.
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// The method.
    pub fn method(self) -> &'b str {
        self.words().next().unwrap_or_default()
    }

    /// Path and query.
    pub fn path(self) -> &'b str {
        self.words().nth(1).unwrap_or_default()
    }

    /// The value of `Host`.
    pub fn host(self) -> &'b str {
        let host = self.values("host").next().unwrap_or_default();
        std::str::from_utf8(host).unwrap_or_default()
    }

    /// The called name without port and last dot.
    pub fn host_name(self) -> &'b str {
        let name = host::without_port(self.host().as_bytes());
        let name = std::str::from_utf8(name).unwrap_or_default();
        name.strip_suffix('.').unwrap_or(name)
    }

    /// The values of a field, without white space around them.
    pub fn values(self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        let fields = self.fields();
        fields.filter_map(move |(own, value)| {
            own.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        })
    }

    fn words(self) -> impl Iterator<Item = &'b str> {
        let line = lines(self.0).next().unwrap_or_default();
        std::str::from_utf8(line).unwrap_or_default().split(' ')
    }

    /// Name and value of each field.
    fn fields(self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> {
        lines(self.0).skip(1).filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b':')?;
            let value = line.get(at + 1..).unwrap_or_default().trim_ascii();
            Some((line.get(..at)?, value))
        })
    }

    /// Appends the changed head to `out`, which must be empty.
    pub fn write_edited(self, edit: HeadEdit<'_>, out: &mut Vec<u8>) -> Result<(), HeadTooLarge> {
        let path = edit.path.unwrap_or(self.path());
        out.extend_from_slice(self.method().as_bytes());
        out.push(b' ');
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let mut count = 0;
        for (name, value) in edit.kept(self) {
            write_field(out, name, value);
            count += 1;
        }
        out.extend_from_slice(b"\r\n");
        if out.len() > MAX_HEAD || count > MAX_FIELDS {
            return Err(HeadTooLarge);
        }
        Ok(())
    }
}

impl<'a> HeadEdit<'a> {
    /// The fields of the changed head. `Host` keeps its place, the first one.
    fn kept<'b: 'a>(self, head: FinishedHead<'b>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let is_host = |name: &[u8]| name.eq_ignore_ascii_case(b"host");
        let set = self
            .set
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let (hosts, others): (Vec<_>, Vec<_>) = set.partition(|(name, _)| is_host(name));
        let host = hosts.into_iter().next_back();
        let old = head.fields().filter_map(move |(name, value)| match host {
            Some(host) if is_host(name) => Some(host),
            _ => (!self.names(name)).then_some((name, value)),
        });
        old.chain(others)
    }

    fn names(self, name: &[u8]) -> bool {
        let same = |own: &str| own.as_bytes().eq_ignore_ascii_case(name);
        self.delete.iter().any(|own| same(own)) || self.set.iter().any(|(own, _)| same(own))
    }
}

impl fmt::Display for FinishedHead<'_> {
    /// The request in a line of a log.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} http://{}{}",
            self.method(),
            self.host(),
            self.path()
        )
    }
}

/// The lines of a head, without their ends.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .take_while(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] =
        b"POST /a?b HTTP/1.1\r\nHost: Web.Flycast:80\r\nCookie: x\r\nA: 1\r\nContent-Length: 3\r\nVia: 1.1 fly.io\r\n\r\n";

    fn edited(edit: HeadEdit<'_>) -> String {
        let mut out = Vec::new();
        FinishedHead::new(HEAD)
            .write_edited(edit, &mut out)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_head_says_what_it_said() {
        let head = FinishedHead::new(HEAD);
        assert_eq!((head.method(), head.path()), ("POST", "/a?b"));
        assert_eq!(
            (head.host(), head.host_name()),
            ("Web.Flycast:80", "Web.Flycast")
        );
        assert_eq!(head.values("COOKIE").collect::<Vec<_>>(), [b"x"]);
        assert_eq!(head.to_string(), "POST http://Web.Flycast:80/a?b");
    }

    #[test]
    fn no_edit_changes_nothing() {
        assert_eq!(edited(HeadEdit::default()).as_bytes(), HEAD);
    }

    #[test]
    fn fields_are_left_out_and_set() {
        let set = [
            ("a".to_owned(), "2".to_owned()),
            ("a".to_owned(), "3".to_owned()),
            ("host".to_owned(), "other".to_owned()),
        ];
        let edit = HeadEdit {
            path: Some("/new"),
            delete: &["cookie".to_owned()],
            set: &set,
        };
        assert_eq!(
            edited(edit),
            "POST /new HTTP/1.1\r\nhost: other\r\nContent-Length: 3\r\nVia: 1.1 fly.io\r\na: 2\r\na: 3\r\n\r\n"
        );
    }

    /// A path is one of a request line; the names of the proxy are its own in any spelling.
    #[test]
    fn what_may_be_changed() {
        assert!(HeadChange::is_path("/a?b") && HeadChange::is_path("/"));
        for bad in ["", "a", "/a#b", "/a b", "/\u{e4}", "/a\r\n"] {
            assert!(!HeadChange::is_path(bad), "{bad}");
        }
        for theirs in ["Fly-New", "fly_new", "VIA", "Content_Length", "te"] {
            assert_eq!(
                HeadChange::of_field(theirs, "a"),
                HeadChange::NotTheirs,
                "{theirs}"
            );
        }
        assert_eq!(HeadChange::of_field("Flying", "a"), HeadChange::Fine);
    }

    #[test]
    fn a_head_does_not_outgrow_its_bounds() {
        let many: Vec<_> = (0..=MAX_FIELDS)
            .map(|at| (format!("a{at}"), String::new()))
            .collect();
        let edit = HeadEdit {
            set: &many,
            ..HeadEdit::default()
        };
        let edited = FinishedHead::new(HEAD).write_edited(edit, &mut Vec::new());
        assert_eq!(edited, Err(HeadTooLarge));
        let set = vec![("a".to_owned(), "x".repeat(MAX_HEAD / 8)); 9];
        let edit = HeadEdit {
            set: &set,
            ..HeadEdit::default()
        };
        let edited = FinishedHead::new(HEAD).write_edited(edit, &mut Vec::new());
        assert_eq!(edited, Err(HeadTooLarge));
    }
}
