//! What a Machine sent, as one line for people.

use std::io;

/// The most bytes of one.
pub(super) const MAX_OUTPUT: usize = 1024;

/// Printable text of at most [`MAX_OUTPUT`] bytes: a Machine must not steer the terminal of who reads it,
/// nor begin a line of its own in a log.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::new();
    for char in text.trim().chars() {
        let char = match char {
            char if char.is_whitespace() => ' ',
            char if char.is_control() || steers(char) => '\u{fffd}',
            char => char,
        };
        if out.len() + char.len_utf8() > MAX_OUTPUT {
            break;
        }
        out.push(char);
    }
    out
}

/// Without the number that the system calls it by.
pub(super) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        _ => error.to_string(),
    }
}

/// Invisible characters that change the direction or the look of what follows.
fn steers(char: char) -> bool {
    matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The data of chunks, as far as it goes (RFC 9112, 7.1): for reading, not for relaying.
pub(super) fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while let Some(end) = memchr::memmem::find(body, b"\r\n") {
        let (line, rest) = body.split_at(end);
        let digits: Vec<u8> = line
            .iter()
            .copied()
            .take_while(u8::is_ascii_hexdigit)
            .collect();
        let size = std::str::from_utf8(&digits).map_or(0, |text| {
            usize::from_str_radix(text, 16).unwrap_or(usize::MAX)
        });
        if size == 0 || digits.is_empty() {
            break;
        }
        let rest = rest.get(2..).unwrap_or_default();
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        data.extend_from_slice(chunk);
        body = after.get(2..).unwrap_or_default();
    }
    data
}

#[cfg(test)]
mod tests {
    use super::{MAX_OUTPUT, printable, unchunked};

    /// No control character survives, and the length is bounded at a whole character.
    #[test]
    fn what_is_printed() {
        let nasty = " a\r\nb\t\u{1b}[31mc\u{9b}\u{202e}d\0 ";
        assert_eq!(
            printable(nasty),
            "a  b \u{fffd}[31mc\u{fffd}\u{fffd}d\u{fffd}"
        );
        assert_eq!(printable(&"é".repeat(MAX_OUTPUT)).len(), MAX_OUTPUT);
        assert_eq!(
            printable(&format!("a{}", "é".repeat(MAX_OUTPUT))).len(),
            MAX_OUTPUT - 1
        );
    }

    /// Chunks are joined as far as they were read; nonsense gives nothing.
    #[test]
    fn chunks_are_joined() {
        let rows: [(&[u8], &[u8]); 6] = [
            (b"2\r\nok\r\n0\r\n\r\n", b"ok"),
            (b"2;x=y\r\nok\r\n3\r\nmor", b"okmor"),
            (b"ffffffffffffffffffff\r\nok", b"ok"),
            (b"zz\r\nok", b""),
            (b"2", b""),
            (b"", b""),
        ];
        for (body, data) in rows {
            assert_eq!(unchunked(body), data, "{body:?}");
        }
    }
}
