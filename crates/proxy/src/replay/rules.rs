//! The `replay_cache` rules of a port, as the cache reads them.

use roost_replay::{Rule, RuleKind};
use roost_wire::{Port, ReplayRule, SessionKind};

/// The rules of a port. One that cannot be read is left out: the agent has checked them.
pub(crate) fn of(port: &Port) -> Vec<Rule> {
    let options = port.http_options.as_deref().into_iter();
    let rules = options.flat_map(|options| &options.replay_cache);
    rules.filter_map(read).collect()
}

fn read(rule: &ReplayRule) -> Option<Rule> {
    let name = rule.name.to_string();
    let kind = match rule.kind {
        SessionKind::Cookie => RuleKind::Cookie(name),
        SessionKind::Header => RuleKind::Header(name),
    };
    Rule::new(&rule.path_prefix, kind, rule.ttl_seconds, rule.allow_bypass).ok()
}
