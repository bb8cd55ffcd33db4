//! Port ranges of private networks: one listener for all of them, and a rule that leads calls there.
//!
//! A range of ten thousand ports must not cost ten thousand sockets. The kernel can hand a packet for any
//! port to one socket (`tproxy`), which sees the address and port that were called as if it listened
//! there. Which ports these are is a set in a table of nftables that this proxy has for itself in each
//! router; so the rules change in step with what the proxy listens for, and a port that nobody serves is
//! refused by the kernel as ever. Without a listener the rule has no effect.
//!
//! The table holds nothing that decides who may call whom: packets pass the router's own rules before and
//! after. One thread runs `nft`, a few milliseconds each time that the ranges of a network change.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use roost_core::Place;
use roost_wire::{Name, Protocol};

use crate::listen::tell_apps;
use crate::netns::{Netns, RANGES};
use crate::shared::Shared;

/// The table's name, in family `inet`; roostd's canary knows it.
const TABLE: &str = "roost_ranges";
/// How long until rules that could not be loaded are tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Where `nft` may be besides the `PATH`.
const PLACES: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// What the kernel was told last.
struct Loaded {
    netns: Arc<Netns>,
    script: String,
}

/// Keeps the rules of all networks as the table asks, until the process ends.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut loaded: HashMap<Name, Loaded> = HashMap::new();
    let mut waiting: BTreeSet<Name> = BTreeSet::new();
    loop {
        let next = shared.ranges.next();
        let mail = if waiting.is_empty() || !shared.listens() {
            next.await
        } else {
            let waited = tokio::time::timeout(RETRY_AFTER, next).await;
            waited.unwrap_or_default()
        };
        let places = mail.places.into_iter().filter(|(_, at)| at.is_range());
        waiting.extend(mail.networks.into_iter().chain(places.map(|(of, _)| of)));
        // The rules are the serving process's: one that does not know everything yet, or hears of a
        // change later than another, must not replace them.
        if shared.listens() {
            waiting.retain(|network| !reconcile(&shared, network, &mut loaded));
        }
        for done in mail.done {
            // It fails when nobody waits any more.
            let _ = done.send(());
        }
    }
}

/// Loads the rules of one network unless they are there; `false` when that is not possible now.
fn reconcile(shared: &Shared, network: &Name, loaded: &mut HashMap<Name, Loaded>) -> bool {
    let Some(netns) = shared.netns(network) else {
        loaded.remove(network);
        return true;
    };
    let known = loaded.get(network).filter(|known| known.netns.same(&netns));
    let (ranges, prefix) = wanted(shared, network);
    let script = match prefix {
        Some(prefix) if !ranges.is_empty() => script(flycast(prefix), &ranges),
        _ if known.is_some() => no_script(),
        _ => return true,
    };
    if known.is_some_and(|known| known.script == script) {
        return true;
    }
    let result = load(&netns, &script);
    for range in &ranges {
        match &result {
            Ok(()) => shared.unbound.remove(network, *range),
            Err(error) if shared.unbound.add(network, *range) => {
                tell_apps(shared, network, range, error);
            }
            Err(_) => {}
        }
    }
    if let Err(error) = result {
        tracing::warn!(%network, %error, "cannot listen for port ranges");
        return false;
    }
    loaded.insert(network.clone(), Loaded { netns, script });
    true
}

/// The ranges of a private network, and its prefix.
fn wanted(shared: &Shared, network: &Name) -> (Vec<Place>, Option<Ipv6Addr>) {
    let table = shared.table();
    let Some(value) = table.network(network).filter(|value| !value.public) else {
        return (Vec::new(), None);
    };
    let prefix = value.prefix.split('/').next().unwrap_or_default();
    let mut ranges = table.places(network);
    ranges.retain(Place::is_range);
    (ranges, prefix.parse().ok())
}

/// The /80 that a network's Flycast addresses are in.
fn flycast(prefix: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits((prefix.to_bits() >> 80 << 80) | (1 << 48))
}

/// What leads calls to `ranges` at Flycast addresses to the one listener. Replaces what was there at once.
fn script(flycast: Ipv6Addr, ranges: &[Place]) -> String {
    use std::fmt::Write;
    let mut sets = String::new();
    let mut rules = String::new();
    for (protocol, word) in [(Protocol::Tcp, "tcp"), (Protocol::Udp, "udp")] {
        let of_it = ranges.iter().filter(|range| range.protocol == protocol);
        let ports: Vec<String> = union(of_it)
            .into_iter()
            .map(|(first, last)| format!("{first}-{last}"))
            .collect();
        if ports.is_empty() {
            continue;
        }
        let ports = ports.join(", ");
        // Writing to a string cannot fail.
        let _ = writeln!(
            sets,
            "set {word}_ports {{ type inet_service; flags interval; elements = {{ {ports} }}; }}"
        );
        let _ = writeln!(
            rules,
            "ip6 daddr {flycast}/80 {word} dport @{word}_ports tproxy ip6 to {RANGES}"
        );
    }
    format!(
        "{}table inet {TABLE} {{\n{sets}chain ranges {{\n\
         type filter hook prerouting priority mangle; policy accept;\n{rules}}}\n}}\n",
        no_script()
    )
}

/// Removes the table, also when there is none.
fn no_script() -> String {
    format!("table inet {TABLE}\ndelete table inet {TABLE}\n")
}

/// The ports of ranges, which are in order, as ranges that are apart.
fn union<'p>(ranges: impl Iterator<Item = &'p Place>) -> Vec<(u16, u16)> {
    let mut apart: Vec<(u16, u16)> = Vec::new();
    for range in ranges {
        match apart.last_mut() {
            Some((_, last)) if range.first <= last.saturating_add(1) => {
                *last = range.last.max(*last);
            }
            _ => apart.push((range.first, range.last)),
        }
    }
    apart
}

fn load(netns: &Netns, script: &str) -> io::Result<()> {
    let program = find_nft().ok_or_else(|| io::Error::other("the program nft was not found"))?;
    // A child is in the namespace of the thread that makes it.
    let mut child = netns.within(|| {
        let mut command = Command::new(program);
        command.args(["-f", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(Stdio::piped()).spawn()
    })?;
    let written = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output()?;
    if output.status.success() {
        return written;
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("failed");
    Err(io::Error::other(format!("nft: {said}")))
}

fn find_nft() -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(PLACES.split(':'));
    let mut programs = folders.map(|folder| PathBuf::from(folder).join("nft"));
    programs.find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u16, last: u16) -> Place {
        let at = (Ipv6Addr::UNSPECIFIED, first).into();
        let single = Place::single(Protocol::Tcp, at);
        Place { last, ..single }
    }

    /// Ranges that meet or touch become one, up to the last port.
    #[test]
    fn joins_what_meets() {
        let ranges = [
            (1, 5),
            (2, 3),
            (6, 9),
            (11, 12),
            (65_000, 65_535),
            (65_535, 65_535),
        ];
        let ranges = ranges.map(|(first, last)| range(first, last));
        let apart = [(1, 9), (11, 12), (65_000, 65_535)];
        assert_eq!(union(ranges.iter()), apart);
    }

    /// The Flycast addresses are a network's `0:1::/80`.
    #[test]
    fn knows_the_flycast_addresses() {
        let prefix = "fdaa:0:7::".parse().unwrap();
        assert_eq!(
            flycast(prefix),
            "fdaa:0:7:0:1::".parse::<Ipv6Addr>().unwrap()
        );
    }
}
