//! `http_options.replay_cache` of fly.toml: replays that are remembered for a session.

use roost_http1::FinishedHead;

use crate::error::Invalid;
use crate::prefix::Prefix;

/// The longest cookie or field value that tells sessions apart.
const MAX_VALUE: usize = 4096;

/// What tells sessions apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RuleKind {
    /// The cookie of this name.
    Cookie(String),
    /// The field of this name.
    Header(String),
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The requests it is about.
    pub(crate) prefix: Prefix,
    pub(crate) kind: RuleKind,
    /// Seconds.
    pub(crate) ttl: u64,
    pub(crate) allow_bypass: bool,
}

impl Rule {
    /// A rule as fly.toml has it.
    pub fn new(
        path_prefix: &str,
        kind: RuleKind,
        ttl: u64,
        allow_bypass: bool,
    ) -> Result<Self, Invalid> {
        Ok(Self {
            prefix: Prefix::parse("path_prefix", path_prefix)?,
            kind,
            ttl: crate::directive::ttl("ttl_seconds", ttl)?,
            allow_bypass,
        })
    }

    /// The rule that counts for a request, and the request's session: of those that match, the one with the
    /// longest path that the request has a value for.
    pub(crate) fn find<'r, 'h>(
        rules: &'r [Self],
        host: &str,
        head: FinishedHead<'h>,
    ) -> Option<(&'r Self, &'h [u8])> {
        let matching = rules
            .iter()
            .filter(|rule| rule.prefix.matches(host, head.path()));
        let with_value = matching.filter_map(|rule| Some((rule, rule.kind.value(head)?)));
        with_value.max_by_key(|(rule, _)| rule.prefix.path().len())
    }
}

impl RuleKind {
    fn value<'h>(&self, head: FinishedHead<'h>) -> Option<&'h [u8]> {
        let value = match self {
            Self::Header(name) => head.values(name).next(),
            Self::Cookie(name) => {
                let pairs = head
                    .values("cookie")
                    .flat_map(|value| value.split(|one| *one == b';'));
                pairs
                    .map(<[u8]>::trim_ascii)
                    .find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
            }
        };
        value.filter(|value| !value.is_empty() && value.len() <= MAX_VALUE)
    }
}
