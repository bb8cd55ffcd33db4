//! Where a caller, or a replay, wants a request to go, as a wish for the balancing.

use roost_core::Wish;
use roost_http1::FinishedHead;
use roost_wire::Name;

use crate::directive::{self, Directive};

/// What a caller's routing fields say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The Machines; `None` means any.
    pub wish: Option<Wish>,
    /// Remembered replays are not to be used.
    pub skip_cache: bool,
}

impl Wanted {
    /// Reads the fields of a request. What is no name there names nothing: where it is only preferred it is
    /// ignored, and where it is demanded no Machine will do. To demand goes before to prefer, a Machine
    /// before a region.
    pub fn of(head: FinishedHead<'_>) -> Self {
        let text = |name| {
            let value = head.values(name).next()?;
            std::str::from_utf8(value).ok()
        };
        let instance = |field| text(field).map(|text| directive::name(field, text));
        let regions = |field| text(field).map(|text| directive::regions(field, text));
        let skip = text("fly-replay-cache-control");
        let wish = if let Some(forced) = instance("fly-force-instance-id") {
            Some(Wish {
                instance: Some(forced.unwrap_or_default()),
                regions: Vec::new(),
                strict: true,
            })
        } else if let Some(forced) = regions("fly-force-region") {
            Some(Wish {
                instance: None,
                regions: forced.unwrap_or_default(),
                strict: true,
            })
        } else {
            let wish = Wish {
                instance: instance("fly-prefer-instance-id").and_then(Result::ok),
                regions: regions("fly-prefer-region")
                    .and_then(Result::ok)
                    .unwrap_or_default(),
                strict: false,
            };
            Some(wish).filter(|wish| *wish != Wish::default())
        };
        Self {
            wish,
            skip_cache: skip.is_some_and(|text| text.eq_ignore_ascii_case("skip")),
        }
    }
}

impl Directive {
    /// The Machines that a replay is for. A list of regions is a demand, unless it ends in `any`.
    pub fn wish(&self) -> Option<Wish> {
        if let Some(instance) = &self.instance {
            return Some(Wish {
                instance: Some(instance.clone()),
                regions: Vec::new(),
                strict: true,
            });
        }
        let wish = Wish {
            instance: self.prefer_instance.clone(),
            regions: self.regions.clone(),
            strict: !self.regions.is_empty(),
        };
        Some(wish).filter(|wish| *wish != Wish::default())
    }

    /// The first region it names.
    pub fn first_region(&self) -> Option<&Name> {
        self.regions.first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(fields: &str) -> Wanted {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        Wanted::of(FinishedHead::new(head.as_bytes()))
    }

    fn wish(instance: Option<&str>, regions: &[&str], strict: bool) -> Wish {
        Wish {
            instance: instance.map(Name::from),
            regions: regions.iter().map(|one| Name::from(*one)).collect(),
            strict,
        }
    }

    #[test]
    fn force_goes_before_prefer_and_a_machine_before_a_region() {
        let all = "fly-prefer-region: a\r\nfly-force-region: B,us\r\nfly-prefer-instance-id: c\r\n";
        let forced = format!("{all}fly-force-instance-id: d\r\n");
        assert_eq!(wanted(&forced).wish, Some(wish(Some("d"), &[], true)));
        assert_eq!(wanted(all).wish, Some(wish(None, &["b", "us"], true)));
        let both = "fly-prefer-region: a\r\nfly-prefer-instance-id: c\r\n";
        assert_eq!(wanted(both).wish, Some(wish(Some("c"), &["a"], false)));
        assert_eq!(wanted("").wish, None);
        assert!(wanted("Fly-Replay-Cache-Control: skip\r\n").skip_cache);
    }

    /// A demand that cannot be read is met by no Machine, rather than by any.
    #[test]
    fn nonsense_is_no_machine_or_nothing() {
        assert_eq!(
            wanted("fly-force-instance-id: a b\r\n").wish,
            Some(wish(Some(""), &[], true))
        );
        assert_eq!(
            wanted("fly-force-region: ,\r\n").wish,
            Some(wish(None, &[], true))
        );
        assert_eq!(wanted("fly-prefer-region: \u{e4}\r\n").wish, None);
    }
}
