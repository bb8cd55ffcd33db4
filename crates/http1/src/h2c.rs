//! The settings that a client sends when it asks to go on in HTTP/2 (RFC 7540, 3.2.1).

use crate::fields::Fields;
use crate::name::Name;

/// What one setting takes: a number of 16 bits and one of 32.
const SETTING: usize = 6;

/// Whether there is one `HTTP2-Settings`, with whole settings in unpadded base64url. What they say is not
/// looked at: the client repeats it in the first frame it sends, before anything is sent to it.
pub(crate) fn has_settings(fields: Fields<'_, '_>) -> bool {
    let sent = |(_, name, _): &(Name, &str, &[u8])| name.eq_ignore_ascii_case("http2-settings");
    let mut all = fields.iter().filter(sent);
    match (all.next(), all.next()) {
        (Some((_, _, value)), None) => is_settings(value),
        _ => false,
    }
}

fn is_settings(text: &[u8]) -> bool {
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    // Six bytes are eight characters, so whole settings need no padding.
    text.iter().all(valid) && text.len().is_multiple_of(SETTING / 3 * 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_whole() {
        for fine in ["", "AAMAAABk", "AAMAAABkAAQAAP__"] {
            assert!(is_settings(fine.as_bytes()), "{fine}");
        }
        for bad in ["A", "AAMAAABkAA", "AAMAAAB=", "AAMAAAB+", "AAMAAA k"] {
            assert!(!is_settings(bad.as_bytes()), "{bad}");
        }
    }
}
