//! A replay as the head and body of a response ask for it.

use crate::directive::{self, CacheOrder, Directive, Remember};
use crate::error::Invalid;
use crate::prefix::Prefix;
use crate::{header, json};

/// The largest JSON body.
pub const MAX_JSON: usize = 64 * 1024;

/// The fields of a response that speak of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// `fly-replay`
    pub replay: Option<String>,
    /// `fly-replay-cache`
    pub cache: Option<String>,
    /// `fly-replay-cache-ttl-secs`
    pub ttl: Option<String>,
    /// `fly-replay-cache-allow-bypass`
    pub allow_bypass: Option<String>,
    /// A field came twice, or with bytes that are no text.
    pub garbled: Option<&'static str>,
}

impl Order {
    /// Takes one field in, by its name in any case; others are ignored.
    pub fn note(&mut self, name: &str, value: &[u8]) {
        const FIELDS: [&str; 4] = [
            "fly-replay",
            "fly-replay-cache",
            "fly-replay-cache-ttl-secs",
            "fly-replay-cache-allow-bypass",
        ];
        let mut fields = FIELDS.into_iter();
        let Some(field) = fields.find(|field| name.eq_ignore_ascii_case(field)) else {
            return;
        };
        let place = match field {
            "fly-replay" => &mut self.replay,
            "fly-replay-cache" => &mut self.cache,
            "fly-replay-cache-ttl-secs" => &mut self.ttl,
            _ => &mut self.allow_bypass,
        };
        match std::str::from_utf8(value) {
            Ok(text) if place.is_none() => *place = Some(text.trim().to_owned()),
            _ => self.garbled = Some(field),
        }
    }

    /// What the fields, and the JSON body if there is one, ask for.
    pub fn read(&self, body: Option<&[u8]>) -> Result<Directive, Invalid> {
        if let Some(field) = self.garbled {
            return Err(Invalid::field(field, "is there twice or is no text"));
        }
        let mut found = match (&self.replay, body) {
            (Some(_), Some(_)) => {
                let what = "is there and a JSON body as well";
                return Err(Invalid::field("fly-replay", what));
            }
            (Some(text), None) => header::parse(text)?,
            (None, Some(body)) => json::parse(body)?,
            (None, None) => Directive::default(),
        };
        match (self.cache()?, &found.cache) {
            (None, _) => {}
            (Some(cache), None) => found.cache = Some(cache),
            (Some(_), Some(_)) => {
                return Err(Invalid::field(
                    "fly-replay-cache",
                    "is there and `cache` as well",
                ));
            }
        }
        found.check()
    }

    fn cache(&self) -> Result<Option<CacheOrder>, Invalid> {
        let Some(cache) = &self.cache else {
            return match (&self.ttl, &self.allow_bypass) {
                (None, None) => Ok(None),
                _ => Err(Invalid::field("fly-replay-cache", "is missing")),
            };
        };
        if cache == "invalidate" {
            return Ok(Some(CacheOrder::Invalidate));
        }
        let field = "fly-replay-cache-ttl-secs";
        let ttl = self
            .ttl
            .as_ref()
            .ok_or_else(|| Invalid::field(field, "is missing"))?;
        let digits =
            !ttl.is_empty() && ttl.len() <= 12 && ttl.bytes().all(|one| one.is_ascii_digit());
        let ttl = ttl.parse().ok().filter(|_| digits);
        let ttl = ttl.ok_or_else(|| Invalid::field(field, "is no number of seconds"))?;
        let bypass = self.allow_bypass.as_deref();
        let bypass = bypass.map(|text| header::truth("fly-replay-cache-allow-bypass", text));
        Ok(Some(CacheOrder::Remember(Remember {
            prefix: Prefix::parse("fly-replay-cache", cache)?,
            ttl: directive::ttl(field, ttl)?,
            allow_bypass: bypass.transpose()?.unwrap_or(false),
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(fields: &[(&str, &str)]) -> Order {
        let mut order = Order::default();
        for (name, value) in fields {
            order.note(name, value.as_bytes());
        }
        order
    }

    #[test]
    fn head_and_body_do_not_speak_together() {
        let both = order(&[("Fly-Replay", "app=a")]).read(Some(b"{\"app\":\"b\"}"));
        assert!(both.unwrap_err().to_string().contains("JSON"));
        let twice = order(&[("fly-replay", "app=a"), ("FLY-REPLAY", "app=b")]).read(None);
        assert!(twice.unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn the_cache_fields_belong_together() {
        let ok = order(&[
            ("fly-replay", "app=a"),
            ("fly-replay-cache", "a.example/x/*"),
            ("fly-replay-cache-ttl-secs", "60"),
            ("fly-replay-cache-allow-bypass", "yes"),
        ]);
        assert!(matches!(
            ok.read(None).unwrap().cache,
            Some(CacheOrder::Remember(Remember {
                ttl: 60,
                allow_bypass: true,
                ..
            }))
        ));
        for (fields, named) in [
            (
                &[("fly-replay", "app=a"), ("fly-replay-cache", "/x")][..],
                "ttl-secs",
            ),
            (
                &[("fly-replay", "app=a"), ("fly-replay-cache-ttl-secs", "60")],
                "`fly-replay-cache`",
            ),
            (
                &[
                    ("fly-replay", "app=a;state=s"),
                    ("fly-replay-cache", "/x"),
                    ("fly-replay-cache-ttl-secs", "60"),
                ],
                "`cache`",
            ),
            (&[("fly-replay", "state=s")], "nowhere"),
            (
                &[("fly-replay", "instance=a;prefer_instance=b")],
                "`prefer_instance`",
            ),
        ] {
            let error = order(fields).read(None).unwrap_err().to_string();
            assert!(error.contains(named), "{fields:?}: {error}");
        }
    }

    #[test]
    fn an_invalidation_alone_is_an_order() {
        let found =
            order(&[("fly-replay", "app=a"), ("fly-replay-cache", "invalidate")]).read(None);
        assert_eq!(found.unwrap().cache, Some(CacheOrder::Invalidate));
    }
}
