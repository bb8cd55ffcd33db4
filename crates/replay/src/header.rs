//! The response field `fly-replay`: pairs such as `app=web;region="sjc,any"`.

use crate::directive::{self, Directive};
use crate::duration;
use crate::error::Invalid;

/// Reads the pairs. They are separated by semicolons; a value with commas stands in double quotes.
pub(crate) fn parse(text: &str) -> Result<Directive, Invalid> {
    let mut found = Directive::default();
    let mut seen: Vec<&str> = Vec::new();
    for pair in split(text)? {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Invalid(format!(
                "{:?} is no pair of the form key=value",
                short(pair)
            ))
        })?;
        let key = key.trim();
        if seen.contains(&key) {
            return Err(Invalid::field(&short(key), "is said twice"));
        }
        seen.push(key);
        take(&mut found, key, value.trim())?;
    }
    Ok(found)
}

fn take(found: &mut Directive, key: &str, raw: &str) -> Result<(), Invalid> {
    let value = unquote(key, raw)?;
    match key {
        "app" => found.app = Some(directive::name(key, value)?),
        "instance" => found.instance = Some(directive::name(key, value)?),
        "prefer_instance" => found.prefer_instance = Some(directive::name(key, value)?),
        "region" if value == raw && value.contains(',') => {
            return Err(Invalid::field(
                key,
                "lists several regions and is not in quotes",
            ));
        }
        "region" => found.regions = directive::regions(key, value)?,
        "state" => found.state = Some(directive::state(value)?),
        "elsewhere" => found.elsewhere = truth(key, value)?,
        "timeout" => found.timeout = Some(duration::parse(key, value)?),
        "fallback" => found.fallback = Some(directive::fallback(value)?),
        _ => return Err(Invalid(format!("there is no field {:?}", short(key)))),
    }
    Ok(())
}

/// The pairs between semicolons outside of quotes. One at the end may be there.
fn split(text: &str) -> Result<Vec<&str>, Invalid> {
    let mut pairs = Vec::new();
    let (mut from, mut quoted) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                pairs.push(text.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            _ => {}
        }
    }
    if quoted {
        return Err(Invalid("a quote is not closed".to_owned()));
    }
    let last = text.get(from..).unwrap_or_default();
    if !last.trim().is_empty() || pairs.is_empty() {
        pairs.push(last);
    }
    Ok(pairs)
}

fn unquote<'t>(key: &str, value: &'t str) -> Result<&'t str, Invalid> {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let inner = inner.unwrap_or(value);
    if inner.contains('"') {
        return Err(Invalid::field(&short(key), "has a quote in the middle"));
    }
    Ok(inner)
}

pub(crate) fn truth(field: &str, value: &str) -> Result<bool, Invalid> {
    match value {
        "true" | "yes" => Ok(true),
        "false" | "no" => Ok(false),
        _ => Err(Invalid::field(field, "is neither true nor false")),
    }
}

/// What of an app's own words is repeated to its owner.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directive::Fallback;

    #[test]
    fn every_field_is_read() {
        let found = parse(
            "region=\"iad, ord,US\"; app=web;prefer_instance=00bb33ff;state=a=b c;elsewhere=true;\
             timeout=800ms;fallback=prefer_self;",
        )
        .unwrap();
        let regions: Vec<&str> = found.regions.iter().map(|one| &**one).collect();
        assert_eq!(regions, ["iad", "ord", "us"]);
        assert_eq!(found.app.as_deref(), Some("web"));
        assert_eq!(found.prefer_instance.as_deref(), Some("00bb33ff"));
        assert_eq!(found.state.as_deref(), Some("a=b c"));
        assert!(found.elsewhere);
        assert_eq!(found.timeout, Some(std::time::Duration::from_millis(800)));
        assert_eq!(found.fallback, Some(Fallback::PreferSelf));
    }

    /// Each is refused, with a sentence that names what is wrong.
    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, named) in [
            ("", "key=value"),
            ("app", "key=value"),
            ("app=", "`app` is empty"),
            ("app=x;app=y", "`app` is said twice"),
            ("app=x,state=y", "`app`"),
            ("region=sjc,any", "`region`"),
            ("region=\"sjc", "quote"),
            ("instance=a\"b\"", "`instance`"),
            ("intsance=1", "intsance"),
            ("state=a\tb", "`state`"),
            ("state=\"a;b\"", "`state`"),
            ("elsewhere=1", "`elsewhere`"),
            ("timeout=10", "`timeout`"),
            ("fallback=self", "`fallback`"),
            ("app=x;;region=sjc", "key=value"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
