//! Filters the fields after a chunked body.
//!
//! A reader may merge trailers into the head's fields, so whatever frames or routes a message, or is
//! the proxy's to set, does not pass here (RFC 9110, 6.5.1).

use httparse::Header;

use crate::error::ChunkError;
use crate::fields::{MAX_FIELDS, write_field};
use crate::name::Name;

/// Appends the fields of `section` that may pass, and the empty line that ends the body.
pub fn write_trailers(section: &[u8], out: &mut Vec<u8>) -> Result<(), ChunkError> {
    parse_trailers(section, |name, value| {
        write_field(out, name.as_bytes(), value);
    })?;
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Gives name and value of each field of `section` that may pass.
pub fn parse_trailers(section: &[u8], mut each: impl FnMut(&str, &[u8])) -> Result<(), ChunkError> {
    if section == b"\r\n" {
        return Ok(());
    }
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let parsed = httparse::parse_headers(section, &mut slots);
    match parsed.map_err(|_| ChunkError("an invalid field in the trailers"))? {
        httparse::Status::Complete((_, fields)) => {
            for field in fields.iter().filter(|field| passes(field)) {
                each(field.name, field.value);
            }
            Ok(())
        }
        httparse::Status::Partial => Err(ChunkError("trailers that are cut short")),
    }
}

fn passes(field: &Header<'_>) -> bool {
    matches!(Name::of(field.name.as_bytes()), Name::Other | Name::Etag)
        && !["authorization", "cookie", "set-cookie", "trailer", "range"]
            .iter()
            .any(|name| field.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_head_do_not_pass() {
        let mut out = Vec::new();
        let section = b"Checksum: 1\r\nContent-Length: 5\r\nFly-Client-IP: ::1\r\nhost: x\r\nX_Forwarded_For: y\r\nCookie: c\r\nSet-Cookie: c\r\n\r\n";
        assert_eq!(write_trailers(section, &mut out), Ok(()));
        assert_eq!(out, b"Checksum: 1\r\n\r\n");
    }

    #[test]
    fn no_trailers_are_an_empty_line() {
        let mut out = Vec::new();
        assert_eq!(write_trailers(b"\r\n", &mut out), Ok(()));
        assert_eq!(out, b"\r\n");
        assert!(write_trailers(b"A : b\r\n\r\n", &mut out).is_err());
        assert!(write_trailers(b"A: b\r\n c\r\n\r\n", &mut out).is_err());
    }
}
