//! What an app asks for: where a request is to go, and how it changes on the way.

use std::time::Duration;

use roost_http1::{HeadChange, HeadEdit, MAX_FIRST_LINE};
use roost_wire::Name;

use crate::error::Invalid;
use crate::prefix::Prefix;

/// The longest name of an app, a Machine or a region.
const MAX_NAME: usize = 64;
/// The longest `state`.
const MAX_STATE: usize = 1024;
/// Regions in a list.
const MAX_REGIONS: usize = 16;
/// Fields that a transform sets, and fields that it deletes.
const MAX_CHANGES: usize = 64;
/// The shortest time a replay is remembered for.
pub(crate) const MIN_TTL: u64 = 10;
/// The longest; more is taken as this.
pub(crate) const MAX_TTL: u64 = 7 * 24 * 3600;

/// Where a request is to go. What is `None` or empty was not said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directive {
    /// Another app.
    pub app: Option<Name>,
    /// A Machine: exactly that one.
    pub instance: Option<Name>,
    /// A Machine: that one if it takes calls.
    pub prefer_instance: Option<Name>,
    /// Regions and their aliases, the best first.
    pub regions: Vec<Name>,
    /// Copied into `fly-replay-src`.
    pub state: Option<String>,
    /// Not the Machine that answers.
    pub elsewhere: bool,
    /// How long the proxy tries to reach a Machine.
    pub timeout: Option<Duration>,
    /// Who gets the request when none is reached.
    pub fallback: Option<Fallback>,
    /// How the request changes.
    pub transform: Option<Transform>,
    /// What becomes of the remembered replays.
    pub cache: Option<CacheOrder>,
}

/// Who gets a request that could not be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The Machine that asked for the replay, or nobody.
    ForceSelf,
    /// That Machine, or another of its app.
    PreferSelf,
}

/// How a request changes when it is replayed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transform {
    /// Path and query.
    pub path: Option<String>,
    /// Fields that are left out.
    pub delete: Vec<String>,
    /// Fields that are set, and left out before.
    pub set: Vec<(String, String)>,
}

/// What becomes of remembered replays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheOrder {
    /// Forget what answers the request.
    Invalidate,
    /// Remember this replay.
    Remember(Remember),
}

/// For which requests a replay is remembered, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remember {
    /// The requests.
    pub prefix: Prefix,
    /// Seconds.
    pub ttl: u64,
    /// A caller may ask for the app itself.
    pub allow_bypass: bool,
}

impl Directive {
    /// Whether it may be remembered: what is served from memory says nothing about one request.
    pub fn is_memorable(&self) -> bool {
        self.state.is_none()
            && self.timeout.is_none()
            && self.fallback.is_none()
            && self.transform.is_none()
    }

    /// Whether it names no place: it then only changes what is remembered, and means the called app.
    pub fn says_nowhere(&self) -> bool {
        let names = [&self.app, &self.instance, &self.prefer_instance];
        names.iter().all(|name| name.is_none()) && self.regions.is_empty() && !self.elsewhere
    }

    /// Whether all that is said can be true together.
    pub(crate) fn check(self) -> Result<Self, Invalid> {
        let invalidates = self.cache == Some(CacheOrder::Invalidate);
        if self.says_nowhere() && !invalidates {
            let fields = "app, instance, prefer_instance, region or elsewhere";
            return Err(Invalid(format!(
                "it says nowhere to go: {fields} is missing"
            )));
        }
        if self.instance.is_some() && self.prefer_instance.is_some() {
            return Err(Invalid::field(
                "prefer_instance",
                "cannot go with `instance`",
            ));
        }
        if matches!(self.cache, Some(CacheOrder::Remember(_))) && !self.is_memorable() {
            let what = "cannot go with state, transform, timeout or fallback";
            return Err(Invalid::field("cache", what));
        }
        Ok(self)
    }
}

impl Transform {
    /// The changes in the form that a head takes.
    pub fn edit(&self) -> HeadEdit<'_> {
        HeadEdit {
            path: self.path.as_deref(),
            delete: &self.delete,
            set: &self.set,
        }
    }

    pub(crate) fn check(self) -> Result<Self, Invalid> {
        if let Some(path) = &self.path
            && (path.len() > MAX_FIRST_LINE / 2 || !HeadChange::is_path(path))
        {
            let what = "is not a path that begins with a slash, encoded as in a URL";
            return Err(Invalid::field("transform.path", what));
        }
        if self.delete.len() > MAX_CHANGES {
            return Err(Invalid::field(
                "transform.delete_headers",
                "has too many names",
            ));
        }
        if self.set.len() > MAX_CHANGES {
            return Err(Invalid::field(
                "transform.set_headers",
                "has too many fields",
            ));
        }
        for name in &self.delete {
            check_change(
                "transform.delete_headers",
                name,
                HeadChange::of_deletion(name),
            )?;
        }
        for (name, value) in &self.set {
            check_change(
                "transform.set_headers",
                name,
                HeadChange::of_field(name, value),
            )?;
        }
        Ok(self)
    }
}

fn check_change(field: &str, name: &str, change: HeadChange) -> Result<(), Invalid> {
    let name: String = name.chars().take(MAX_NAME).collect();
    let what = match change {
        HeadChange::Fine => return Ok(()),
        HeadChange::BadName => format!("has {name:?}, which is no field name"),
        HeadChange::BadValue => format!("has a value for {name:?} that no field can have"),
        HeadChange::NotTheirs => format!("has {name:?}, which is the proxy's to set"),
    };
    Err(Invalid::field(field, &what))
}

/// Reads a name: letters, digits, `-` and `_`.
pub(crate) fn name(field: &str, text: &str) -> Result<Name, Invalid> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match text {
        "" => Err(Invalid::field(field, "is empty")),
        text if text.len() <= MAX_NAME && text.bytes().all(valid) => Ok(text.into()),
        _ => Err(Invalid::field(
            field,
            "is no name of letters, digits and dashes",
        )),
    }
}

/// Reads regions, separated by commas; one that is there again counts once.
pub(crate) fn regions(field: &str, text: &str) -> Result<Vec<Name>, Invalid> {
    let each = text.split(',').map(|one| name(field, one.trim()));
    let regions: Vec<Name> = each.take(MAX_REGIONS + 1).collect::<Result<_, _>>()?;
    if regions.len() > MAX_REGIONS {
        return Err(Invalid::field(field, "lists too many regions"));
    }
    let mut found: Vec<Name> = Vec::new();
    for region in regions {
        let region = region.to_ascii_lowercase();
        if !found.iter().any(|one| **one == *region) {
            found.push(region.into());
        }
    }
    Ok(found)
}

/// Reads a state. It goes on as the last pair of a list, so it can hold no separator.
pub(crate) fn state(text: &str) -> Result<String, Invalid> {
    let valid = |byte: u8| (byte == b' ' || byte.is_ascii_graphic()) && byte != b';';
    if text.len() > MAX_STATE {
        return Err(Invalid::field("state", "is longer than 1024 bytes"));
    }
    if !text.bytes().all(valid) {
        let what = "has something else than visible ASCII, or a semicolon";
        return Err(Invalid::field("state", what));
    }
    Ok(text.to_owned())
}

pub(crate) fn fallback(text: &str) -> Result<Fallback, Invalid> {
    match text {
        "force_self" => Ok(Fallback::ForceSelf),
        "prefer_self" => Ok(Fallback::PreferSelf),
        _ => Err(Invalid::field(
            "fallback",
            "is neither force_self nor prefer_self",
        )),
    }
}

pub(crate) fn ttl(field: &str, seconds: u64) -> Result<u64, Invalid> {
    if seconds < MIN_TTL {
        return Err(Invalid::field(field, "is less than 10 seconds"));
    }
    Ok(seconds.min(MAX_TTL))
}
