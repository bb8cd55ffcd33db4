//! Which regions an alias such as `eu` stands for.

/// Aliases with the regions of Fly's codes that belong to them.
const ALIASES: [(&str, &[&str]); 6] = [
    ("apac", &["bom", "hkg", "nrt", "sin", "syd"]),
    (
        "eu",
        &["ams", "arn", "cdg", "fra", "lhr", "mad", "otp", "waw"],
    ),
    ("na", &["gdl", "qro", "yul", "yyz"]),
    ("sa", &["bog", "eze", "gig", "gru", "scl"]),
    ("us", US),
    ("usa", US),
];
const US: &[&str] = &[
    "atl", "bos", "dfw", "den", "ewr", "iad", "lax", "mia", "ord", "phx", "sea", "sjc",
];
/// Aliases that are part of another one.
const PARTS: [(&str, &[&str]); 2] = [("na", &["us", "usa"]), ("usa", &["us"])];

/// Whether a region is the wanted one, or belongs to the alias. A region of one's own belongs to an alias that
/// its name is, with a number or a dash and more behind: `eu1` and `eu-west` to `eu`.
pub(crate) fn is_in(region: &str, wanted: &str) -> bool {
    wanted == "any" || region == wanted || belongs(region, wanted)
}

fn belongs(region: &str, alias: &str) -> bool {
    let Some((_, members)) = ALIASES.iter().find(|(name, _)| *name == alias) else {
        return false;
    };
    let number = region.strip_prefix(alias);
    let own = number.is_some_and(|rest| {
        let digits = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
        digits || rest.starts_with('-')
    });
    let parts = PARTS.iter().filter(|(whole, _)| *whole == alias);
    let mut parts = parts.flat_map(|(_, parts)| parts.iter());
    own || members.contains(&region) || parts.any(|part| region == *part || belongs(region, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_hold_their_regions() {
        for (region, wanted) in [
            ("iad", "iad"),
            ("iad", "us"),
            ("iad", "usa"),
            ("iad", "na"),
            ("yyz", "na"),
            ("fra", "eu"),
            ("eu1", "eu"),
            ("us2", "usa"),
            ("us-east", "na"),
            ("syd", "apac"),
            ("gru", "sa"),
            ("local", "any"),
        ] {
            assert!(is_in(region, wanted), "{region} {wanted}");
        }
        for (region, wanted) in [
            ("iad", "eu"),
            ("yyz", "us"),
            ("europe", "eu"),
            ("eux1", "eu"),
            ("local", ""),
            ("", "eu"),
        ] {
            assert!(!is_in(region, wanted), "{region} {wanted}");
        }
    }
}
