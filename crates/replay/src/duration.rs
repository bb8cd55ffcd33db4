//! Durations such as `10s`, `800ms` or `1m30s`.

use std::time::Duration;

use crate::error::Invalid;

/// The longest that is taken.
const MAX: Duration = Duration::from_secs(3600);
/// The longest text that is looked at.
const MAX_TEXT: usize = 32;

/// Reads the value of `field`: whole numbers, each with its unit (`ms`, `s`, `m` or `h`), more than nothing
/// and at most an hour.
pub(crate) fn parse(field: &str, text: &str) -> Result<Duration, Invalid> {
    let invalid = || Invalid::field(field, "is no duration such as 10s or 800ms");
    if text.is_empty() || text.len() > MAX_TEXT {
        return Err(invalid());
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits).ok_or_else(invalid)?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at_checked(letters).ok_or_else(invalid)?;
        let number: u32 = number.parse().map_err(|_| invalid())?;
        let one = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(invalid()),
        };
        let part = one.checked_mul(number).ok_or_else(invalid)?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = after;
    }
    match total {
        Duration::ZERO => Err(Invalid::field(field, "is no time at all")),
        total if total > MAX => Err(Invalid::field(field, "is longer than an hour")),
        total => Ok(total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_with_units() {
        let of = |text| parse("timeout", text).unwrap();
        assert_eq!(of("10s"), Duration::from_secs(10));
        assert_eq!(of("800ms"), Duration::from_millis(800));
        assert_eq!(of("1m30s"), Duration::from_secs(90));
        assert_eq!(of("1h"), MAX);
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "10 s",
            "0s",
            "2h",
            "1d",
            "99999999999s",
            "\u{663}s",
            "1S",
        ] {
            assert!(parse("timeout", text).is_err(), "{text}");
        }
    }
}
