//! `Accept-Encoding` (RFC 9110, 12.5.3).

use crate::coding::Coding;

/// The coding to use for a client that sent these values: of those it takes at all, the first in the
/// proxy's own order. A client's weights only say which it does not take (`q=0`).
pub fn choose<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<Coding> {
    let (mut named, mut others) = ([None; Coding::ALL.len()], false);
    for element in values.flat_map(|value| value.split(|byte| *byte == b',')) {
        let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let taken = !parts.any(is_zero);
        if name == b"*" {
            others = taken;
        } else if let Some(coding) = Coding::named(name)
            && let Some(place) = named.get_mut(coding as usize)
        {
            *place = Some(taken);
        }
    }
    let takes = |(_, taken): &(Coding, Option<bool>)| taken.unwrap_or(others);
    let found = Coding::ALL.into_iter().zip(named).find(takes);
    found.map(|(coding, _)| coding)
}

/// `q=0`, `q=0.0` and so on.
fn is_zero(parameter: &[u8]) -> bool {
    let Some([b'q' | b'Q', b'=', weight @ ..]) = parameter.get(..) else {
        return false;
    };
    !weight.is_empty() && weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Coding> {
        choose(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn the_first_of_ours_that_is_taken() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[""]), None);
        assert_eq!(of(&["identity"]), None);
        assert_eq!(of(&["gzip, deflate, br, zstd"]), Some(Coding::Zstd));
        assert_eq!(of(&["gzip;q=1.0, br;q=0.5"]), Some(Coding::Brotli));
        assert_eq!(of(&["deflate", "GZIP"]), Some(Coding::Gzip));
        assert_eq!(of(&["x-gzip"]), Some(Coding::Gzip));
        assert_eq!(of(&["deflate ; q=0.001"]), Some(Coding::Deflate));
    }

    #[test]
    fn what_is_not_taken_is_not_used() {
        assert_eq!(of(&["br;q=0, gzip"]), Some(Coding::Gzip));
        assert_eq!(of(&["gzip; q=0.000"]), None);
        assert_eq!(of(&["*"]), Some(Coding::Zstd));
        assert_eq!(of(&["*, zstd;q=0"]), Some(Coding::Brotli));
        assert_eq!(of(&["*;q=0, gzip"]), Some(Coding::Gzip));
        assert_eq!(of(&["gzipped, brr"]), None);
    }
}
