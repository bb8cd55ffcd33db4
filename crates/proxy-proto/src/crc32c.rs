//! The checksum of version 2 (section 2.2.3): CRC-32C, as in RFC 4960, appendix B.

use std::ops::Range;

/// The polynomial, lowest bit first.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// What a byte adds, by its value.
static TABLE: [u32; 256] = table();

#[allow(clippy::indexing_slicing)] // Evaluated by the compiler.
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < table.len() {
        let mut sum = at as u32;
        let mut bit = 0;
        while bit < 8 {
            let carry = if sum & 1 == 1 { POLYNOMIAL } else { 0 };
            sum = sum >> 1 ^ carry;
            bit += 1;
        }
        table[at] = sum;
        at += 1;
    }
    table
}

/// The checksum of `bytes`.
pub(crate) fn of(bytes: &[u8]) -> u32 {
    without(bytes, 0..0)
}

/// The checksum of `bytes` as if those in `zeroed` were 0.
pub(crate) fn without(bytes: &[u8], zeroed: Range<usize>) -> u32 {
    let seen = bytes
        .iter()
        .enumerate()
        .map(|(at, byte)| if zeroed.contains(&at) { 0 } else { *byte });
    !seen.fold(!0, |sum, byte| {
        let at = usize::from(sum as u8 ^ byte);
        sum >> 8 ^ TABLE.get(at).copied().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums() {
        // RFC 3720, B.4, and the check value of the CRC catalogue.
        assert_eq!(of(b"123456789"), 0xE306_9283);
        assert_eq!(of(&[0; 32]), 0x8A91_36AA);
        assert_eq!(of(&[0xff; 32]), 0x62A8_AB43);
    }
}
