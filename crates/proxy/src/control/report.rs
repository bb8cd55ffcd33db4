//! What goes up each second: load, who waits, wakes that are still wanted. And the counters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use roost_wire::{Name, TransportPort, Up};

use crate::shared::Shared;

/// The past second's load, and the wakes that somebody still waits for; nothing for what rests.
pub(crate) fn each_second(shared: &Arc<Shared>) -> Vec<Up> {
    let mut lines = Vec::new();
    let mut machines: BTreeMap<Name, BTreeMap<TransportPort, (u32, u32)>> = BTreeMap::new();
    let mut waiting = BTreeMap::new();
    for app in shared.take_active() {
        let (loads, waits) = app.report(shared);
        for (machine, port, now, peak) in loads {
            machines
                .entry(machine)
                .or_default()
                .insert(port, (now, peak));
        }
        if waits > 0 {
            waiting.insert(app.name.clone(), waits);
        }
        let wakes = app.wakes(true).into_iter();
        lines.extend(wakes.map(|machine| wake(machine.id.clone(), app.name.clone())));
    }
    lines.extend(shared.tls.awaited.wishes());
    lines.push(Up::Load { machines, waiting });
    lines
}

/// Every wake in flight: the agent is new and has not heard of them.
pub(crate) fn all_wakes(shared: &Arc<Shared>) -> Vec<Up> {
    let mut lines = Vec::new();
    let active = crate::shared::lock(&shared.active);
    for app in active.iter() {
        let wakes = app.wakes(false).into_iter();
        lines.extend(wakes.map(|machine| wake(machine.id.clone(), app.name.clone())));
    }
    lines
}

/// The counters of `stats`.
pub(crate) fn stats(shared: &Arc<Shared>) -> BTreeMap<String, u64> {
    let (networks, apps, machines) = shared.table().sizes();
    let counters = [
        ("networks", networks),
        ("apps", apps),
        ("machines", machines),
        ("certificates", shared.tls.len()),
        ("connections", shared.connections.load(Ordering::Relaxed)),
        ("max_connections", shared.max_connections),
        ("streams", shared.streams.load(Ordering::Relaxed)),
        ("max_streams", shared.max_streams),
        ("refused_sources", shared.sources.refused()),
        ("held_bytes", shared.held_bytes.load(Ordering::Relaxed)),
        ("from_outside", shared.from_outside.load(Ordering::Relaxed)),
        ("waiting", shared.waiting.load(Ordering::Relaxed)),
        ("compressing", shared.coders.load(Ordering::Relaxed)),
        ("kept_bytes", shared.kept.all()),
        ("remembered_bytes", shared.remembered.all()),
        ("udp_flows", shared.udp.flows()),
        ("udp_held_bytes", shared.udp.held_bytes()),
        ("udp_dropped", shared.udp.dropped()),
        ("threads", shared.mailboxes.len()),
    ];
    let counters = counters.into_iter();
    counters
        .map(|(name, count)| (name.to_owned(), count as u64))
        .collect()
}

fn wake(machine: Name, app: Name) -> Up {
    Up::Wake { machine, app }
}
