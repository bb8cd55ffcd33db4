//! The `Connection` field: what it says about the connection, and which fields it ends.

use crate::fields::Fields;
use crate::framing::Version;
use crate::name::Name;

/// What the options of all `Connection` fields say together.
#[allow(clippy::struct_excessive_bools)] // four options that may each be there
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Connection {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    /// Some option names another field, which must not be forwarded.
    pub lists_fields: bool,
}

impl Connection {
    pub(crate) fn of(fields: Fields<'_, '_>) -> Self {
        let mut found = Self::default();
        for token in fields.values(Name::Connection).flat_map(tokens) {
            if token.eq_ignore_ascii_case(b"close") {
                found.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                found.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                found.upgrade = true;
            } else {
                found.lists_fields = true;
            }
        }
        found
    }

    /// Whether the sender keeps the connection open after this message (RFC 9112, 9.3).
    pub(crate) const fn persists(self, version: Version) -> bool {
        match version {
            Version::Http11 | Version::Http2 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }

    /// Whether a field is one of those listed. What frames the message, and `Upgrade`, about which there are
    /// rules of its own, stay whatever is listed: else the message would end elsewhere for the next reader.
    pub(crate) fn lists(self, fields: Fields<'_, '_>, kind: Name, name: &str) -> bool {
        self.lists_fields
            && !matches!(kind, Name::ContentLength | Name::Upgrade)
            && fields
                .values(Name::Connection)
                .flat_map(tokens)
                .any(|token| token.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// The elements of a comma-separated list, without white space around them and without empty ones.
pub(crate) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}
