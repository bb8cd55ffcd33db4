//! The `Connection` field: what it says about the connection, and which fields it ends.

use crate::fields::Fields;
use crate::framing::Version;
use crate::name::Name;

/// The most fields that may be listed. Each field of the head is compared with all of them, so many are an
/// attack.
const MAX_LISTED: usize = 12;

/// More fields are listed than that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TooMany;

impl TooMany {
    pub(crate) const REASON: &str = "too many options in Connection";
}

/// What the options of all `Connection` fields say together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Connection<'b> {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    /// Names of other fields, which must not be forwarded: so many of these.
    listed: [&'b [u8]; MAX_LISTED],
    count: usize,
}

impl<'b> Connection<'b> {
    pub(crate) fn of(fields: Fields<'b, '_>) -> Result<Self, TooMany> {
        let mut found = Self::default();
        for token in fields.values(Name::Connection).flat_map(tokens) {
            if token.eq_ignore_ascii_case(b"close") {
                found.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                found.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                found.upgrade = true;
            } else {
                *found.listed.get_mut(found.count).ok_or(TooMany)? = token;
                found.count += 1;
            }
        }
        Ok(found)
    }

    /// Whether the sender keeps the connection open after this message (RFC 9112, 9.3).
    pub(crate) const fn persists(&self, version: Version) -> bool {
        match version {
            Version::Http11 | Version::Http2 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }

    /// Whether a field is one of those listed. What frames the message, and `Upgrade`, about which there are
    /// rules of its own, stay whatever is listed: else the message would end elsewhere for the next reader.
    pub(crate) fn lists(&self, kind: Name, name: &str) -> bool {
        let mut listed = self.listed.iter().take(self.count);
        !matches!(kind, Name::ContentLength | Name::Upgrade)
            && listed.any(|token| token.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// The elements of a comma-separated list, without white space around them and without empty ones.
pub(crate) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}
