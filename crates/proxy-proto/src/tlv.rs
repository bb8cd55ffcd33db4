//! What a header of version 2 says besides addresses (section 2.2): type, length, value.

use std::ops::Range;

use crate::{HeaderError, TooLong};

/// Types that have a meaning here; all others are passed on as they are.
pub mod kind {
    /// The protocol agreed on by ALPN.
    pub const ALPN: u8 = 0x01;
    /// The name the client called: the server name of its TLS handshake.
    pub const AUTHORITY: u8 = 0x02;
    /// The checksum over the whole header.
    pub const CRC32C: u8 = 0x03;
    /// Nothing, as much as is needed to fill.
    pub const NOOP: u8 = 0x04;
    /// Names the connection, at most 128 bytes.
    pub const UNIQUE_ID: u8 = 0x05;
    /// TLS was ended: how.
    pub const SSL: u8 = 0x20;
    /// Within [`SSL`]: the version's name.
    pub const SSL_VERSION: u8 = 0x21;
    /// Within [`SSL`]: the cipher suite's name.
    pub const SSL_CIPHER: u8 = 0x23;
}

const MAX_UNIQUE_ID: usize = 128;
/// In [`kind::SSL`]: which facts there are, then the result of the client's certificate.
const SSL_FIXED: usize = 5;

/// One thing that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'b> {
    /// Its type.
    pub kind: u8,
    /// Its value, at most 65535 bytes.
    pub value: &'b [u8],
}

impl Tlv<'_> {
    pub(crate) fn write(self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let length = u16::try_from(self.value.len()).map_err(|_| TooLong)?;
        out.push(self.kind);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(self.value);
        Ok(())
    }
}

/// All that a header says besides addresses, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tlvs<'b>(&'b [u8]);

impl<'b> Tlvs<'b> {
    /// Checks that `bytes` are nothing else, and the values that have a form.
    pub(crate) fn check(bytes: &'b [u8]) -> Result<Self, HeaderError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let one = next(&mut rest).ok_or(CUT)?;
            match one.kind {
                kind::SSL => check_ssl(one.value)?,
                kind::UNIQUE_ID if one.value.len() > MAX_UNIQUE_ID => {
                    return Err(HeaderError("its unique id is longer than 128 bytes"));
                }
                _ => {}
            }
        }
        Ok(Self(bytes))
    }

    /// One after the other, as they came.
    pub fn iter(self) -> impl Iterator<Item = Tlv<'b>> {
        let mut rest = self.0;
        std::iter::from_fn(move || next(&mut rest))
    }

    /// As they came, for [`Self::again`].
    pub const fn bytes(self) -> &'b [u8] {
        self.0
    }

    /// What [`Self::bytes`] gave once.
    pub const fn again(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }
}

const CUT: HeaderError = HeaderError("a length in it is wrong");

/// The next one; `None` at the end and where a length is wrong.
fn next<'b>(rest: &mut &'b [u8]) -> Option<Tlv<'b>> {
    let ([kind, high, low], after) = rest.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let (value, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(Tlv { kind: *kind, value })
}

fn check_ssl(value: &[u8]) -> Result<(), HeaderError> {
    let mut inner = value.get(SSL_FIXED..).ok_or(CUT)?;
    while !inner.is_empty() {
        next(&mut inner).ok_or(CUT)?;
    }
    Ok(())
}

/// Where the checksum is in a header whose TLVs are `bytes` and begin at `at`.
pub(crate) fn checksum(bytes: &[u8], at: usize) -> Result<Option<Range<usize>>, HeaderError> {
    let (mut rest, mut found) = (bytes, None);
    while let Some(one) = next(&mut rest) {
        if one.kind != kind::CRC32C {
            continue;
        }
        let end = at + bytes.len() - rest.len();
        let range = end - one.value.len()..end;
        if range.len() != 4 || found.replace(range).is_some() {
            return Err(HeaderError("its checksum is not one of 4 bytes"));
        }
    }
    Ok(found)
}

/// What is said of a TLS connection that was ended; the value of [`kind::SSL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ssl<'a> {
    /// As OpenSSL writes it, such as `TLSv1.3`.
    pub version: &'a str,
    /// As OpenSSL writes it, such as `TLS_AES_128_GCM_SHA256`.
    pub cipher: Option<&'a str>,
}

impl Ssl<'_> {
    /// The client came over TLS; one bit of the first byte.
    const OVER_TLS: u8 = 1;
    /// The client showed no certificate that was found good; anything but 0.
    const UNVERIFIED: u32 = 1;

    /// The value.
    pub fn value(&self) -> Vec<u8> {
        let mut value = vec![Self::OVER_TLS];
        value.extend_from_slice(&Self::UNVERIFIED.to_be_bytes());
        let facts = [
            (kind::SSL_VERSION, Some(self.version)),
            (kind::SSL_CIPHER, self.cipher),
        ];
        for (kind, fact) in facts {
            let fact = fact.map(|fact| Tlv {
                kind,
                value: fact.as_bytes(),
            });
            // A name of more than 64 KiB is left out.
            let _ = fact.map(|fact| fact.write(&mut value));
        }
        value
    }
}
