//! The body `application/vnd.fly.replay+json`.

use serde::Deserialize;

use crate::directive::{self, CacheOrder, Directive, Remember, Transform};
use crate::duration;
use crate::error::Invalid;
use crate::prefix::Prefix;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    app: Option<String>,
    instance: Option<String>,
    prefer_instance: Option<String>,
    region: Option<String>,
    state: Option<String>,
    #[serde(default)]
    elsewhere: bool,
    timeout: Option<String>,
    fallback: Option<String>,
    transform: Option<Changes>,
    cache: Option<Cache>,
    allow_bypass: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    path: Option<String>,
    #[serde(default)]
    delete_headers: Vec<String>,
    #[serde(default)]
    set_headers: Vec<Field>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cache {
    prefix: Option<String>,
    ttl: Option<u64>,
    #[serde(default)]
    invalidate: bool,
    allow_bypass: Option<bool>,
}

/// Reads a whole body.
pub(crate) fn parse(bytes: &[u8]) -> Result<Directive, Invalid> {
    let body: Body = serde_json::from_slice(bytes)
        .map_err(|error| Invalid(format!("the JSON body is not understood: {error}")))?;
    let name =
        |field, text: Option<String>| text.map(|text| directive::name(field, &text)).transpose();
    let transform = body.transform.map(Changes::read).transpose()?;
    let cache = match body.cache {
        Some(cache) => Some(cache.read(body.allow_bypass)?),
        None if body.allow_bypass.is_some() => {
            return Err(Invalid::field("allow_bypass", "needs `cache`"));
        }
        None => None,
    };
    let regions = body.region.map(|text| directive::regions("region", &text));
    Ok(Directive {
        app: name("app", body.app)?,
        instance: name("instance", body.instance)?,
        prefer_instance: name("prefer_instance", body.prefer_instance)?,
        regions: regions.transpose()?.unwrap_or_default(),
        state: body.state.map(|text| directive::state(&text)).transpose()?,
        elsewhere: body.elsewhere,
        timeout: body
            .timeout
            .map(|text| duration::parse("timeout", &text))
            .transpose()?,
        fallback: body
            .fallback
            .map(|text| directive::fallback(&text))
            .transpose()?,
        transform,
        cache,
    })
}

impl Changes {
    fn read(self) -> Result<Transform, Invalid> {
        let set = self
            .set_headers
            .into_iter()
            .map(|field| (field.name, field.value));
        Transform {
            path: self.path,
            delete: self.delete_headers,
            set: set.collect(),
        }
        .check()
    }
}

impl Cache {
    fn read(self, allow_bypass: Option<bool>) -> Result<CacheOrder, Invalid> {
        match (self.invalidate, self.prefix, self.ttl) {
            (true, None, None) => Ok(CacheOrder::Invalidate),
            (true, ..) => Err(Invalid::field("cache.invalidate", "goes with nothing else")),
            (false, Some(prefix), Some(ttl)) => Ok(CacheOrder::Remember(Remember {
                prefix: Prefix::parse("cache.prefix", &prefix)?,
                ttl: directive::ttl("cache.ttl", ttl)?,
                allow_bypass: self.allow_bypass.or(allow_bypass).unwrap_or(false),
            })),
            (false, None, _) => Err(Invalid::field("cache.prefix", "is missing")),
            (false, _, None) => Err(Invalid::field("cache.ttl", "is missing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_read() {
        let found = parse(
            br#"{"app":"web","region":"iad,us","prefer_instance":"a1","state":"s","elsewhere":true,
                "timeout":"10s","fallback":"force_self",
                "transform":{"path":"/new?x=1","delete_headers":["Cookie"],
                 "set_headers":[{"name":"Authorization","value":"Bearer t"},{"name":"Host","value":"b"}]}}"#,
        )
        .unwrap();
        assert_eq!(found.app.as_deref(), Some("web"));
        assert_eq!(found.regions.len(), 2);
        let transform = found.transform.unwrap();
        assert_eq!(transform.path.as_deref(), Some("/new?x=1"));
        assert_eq!(transform.delete, ["Cookie"]);
        assert_eq!(transform.set.len(), 2);
    }

    #[test]
    fn the_bypass_may_stand_in_both_places() {
        for body in [
            r#"{"app":"a","cache":{"prefix":"/x/*","ttl":60,"allow_bypass":true}}"#,
            r#"{"app":"a","cache":{"prefix":"/x","ttl":60},"allow_bypass":true}"#,
        ] {
            let found = parse(body.as_bytes()).unwrap();
            let Some(CacheOrder::Remember(remember)) = found.cache else {
                unreachable!("{body}");
            };
            assert!(remember.allow_bypass, "{body}");
        }
    }

    /// Lists and a path have bounds.
    #[test]
    fn nothing_is_without_bounds() {
        let list = |one: &str, count| vec![one; count].join(",");
        let field = r#"{"name":"a","value":"b"}"#;
        for (most, body) in [
            (
                16,
                &(|count| format!(r#"{{"region":"{}"}}"#, list("a", count)))
                    as &dyn Fn(usize) -> String,
            ),
            (64, &|count| {
                format!(
                    r#"{{"transform":{{"delete_headers":[{}]}}}}"#,
                    list(r#""a""#, count)
                )
            }),
            (64, &|count| {
                format!(
                    r#"{{"transform":{{"set_headers":[{}]}}}}"#,
                    list(field, count)
                )
            }),
            (8192, &|count| {
                format!(r#"{{"transform":{{"path":"/{}"}}}}"#, "a".repeat(count - 1))
            }),
        ] {
            assert!(parse(body(most).as_bytes()).is_ok(), "{most}");
            assert!(parse(body(most + 1).as_bytes()).is_err(), "{most}");
        }
    }

    /// Each is refused, with a sentence that names what is wrong.
    #[test]
    fn what_cannot_be_read_is_named() {
        for (body, named) in [
            ("", "JSON"),
            ("[]", "JSON"),
            (r#"{"apq":"x"}"#, "apq"),
            (r#"{"app":1}"#, "JSON"),
            (r#"{"app":"a","app":"b"}"#, "app"),
            (r#"{"app":"a/b"}"#, "`app`"),
            (r#"{"transform":{"path":"new"}}"#, "`transform.path`"),
            (r#"{"transform":{"path":"/a b"}}"#, "`transform.path`"),
            (
                r#"{"transform":{"path":"/a HTTP/1.1\r\nX: y"}}"#,
                "`transform.path`",
            ),
            (
                r#"{"transform":{"set_headers":[{"name":"Content-Length","value":"0"}]}}"#,
                "Content-Length",
            ),
            (
                r#"{"transform":{"set_headers":[{"name":"fly-client-ip","value":"::1"}]}}"#,
                "fly-client-ip",
            ),
            (
                r#"{"transform":{"set_headers":[{"name":"Fly-New","value":"1"}]}}"#,
                "Fly-New",
            ),
            (
                r#"{"transform":{"set_headers":[{"name":"x_forwarded_for","value":"1"}]}}"#,
                "x_forwarded_for",
            ),
            (
                r#"{"transform":{"set_headers":[{"name":"a","value":"b\r\nc: d"}]}}"#,
                "value",
            ),
            (
                r#"{"transform":{"set_headers":[{"name":"a b","value":""}]}}"#,
                "no field name",
            ),
            (
                r#"{"transform":{"set_headers":[{"name":"Host","value":"a/b"}]}}"#,
                "Host",
            ),
            (r#"{"transform":{"delete_headers":["host"]}}"#, "host"),
            (
                r#"{"transform":{"delete_headers":["Transfer-Encoding"]}}"#,
                "Transfer-Encoding",
            ),
            (r#"{"cache":{"ttl":60}}"#, "`cache.prefix`"),
            (r#"{"cache":{"prefix":"/a","ttl":9}}"#, "`cache.ttl`"),
            (
                r#"{"cache":{"prefix":"/a","ttl":60,"invalidate":true}}"#,
                "`cache.invalidate`",
            ),
            (r#"{"app":"a","allow_bypass":true}"#, "`allow_bypass`"),
        ] {
            let error = parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(named), "{body}: {error}");
        }
    }
}
