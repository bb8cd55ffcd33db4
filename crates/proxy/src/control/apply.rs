//! What the agent's messages do to the table, the apps and the workers.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use roost_core::Touched;
use roost_wire::{App, Entity, Kind, Machine, Name, Network};
use tokio::sync::oneshot;

use crate::app::Context;
use crate::netns::Netns;
use crate::shared::Shared;

/// How long an answer waits for the workers; they answer within microseconds unless they are stuck.
const WORKER_PATIENCE: Duration = Duration::from_secs(5);

/// Creates or replaces one thing; says whether workers have something to do, the error is one sentence.
pub(crate) fn put(shared: &Arc<Shared>, entity: Entity) -> Result<bool, String> {
    match entity {
        Entity::Network(network) => put_network(shared, network),
        Entity::App(app) => Ok(put_app(shared, app)),
        Entity::Machine(machine) => Ok(put_machine(shared, machine)),
        Entity::Certificate(one) => shared.tls.put(&one).map(|()| false),
    }
}

/// Told by each worker, and by what keeps the rules of port ranges, when it has done everything asked so far.
fn barrier(shared: &Arc<Shared>) -> Vec<oneshot::Receiver<()>> {
    let workers = shared.mailboxes.iter().map(|mailbox| mailbox.done());
    workers.chain([shared.ranges.done()]).collect()
}

/// Waits until the workers have done everything asked so far; `false` when one did not in time.
pub(crate) async fn settled(shared: &Arc<Shared>) -> bool {
    let workers = barrier(shared);
    let all = async {
        for worker in workers {
            // A worker that is gone has nothing to do.
            drop(worker.await);
        }
    };
    tokio::time::timeout(WORKER_PATIENCE, all).await.is_ok()
}

/// Removes one thing, a missing one is fine; says whether workers have something to do.
pub(crate) fn del(shared: &Arc<Shared>, kind: Kind, id: &Name) -> bool {
    let old = shared
        .table()
        .machine(id)
        .filter(|_| kind == Kind::Machine)
        .cloned();
    let touched = shared.table_mut().del(kind, id);
    if kind == Kind::Network {
        shared.set_netns(id, None);
    }
    if let Some(machine) = old {
        leave_app(shared, &machine);
    }
    if kind == Kind::Certificate {
        shared.tls.del(id);
    }
    if kind == Kind::App {
        forget_if_empty(shared, id);
    }
    tell_workers(shared, &touched)
}

/// Removes whatever a snapshot did not put.
pub(crate) fn retain(shared: &Arc<Shared>, seen: &HashSet<(Kind, Name)>) {
    let gone: Vec<(Kind, Name)> = {
        let table = shared.table();
        let machines = table
            .machines()
            .map(|machine| (Kind::Machine, machine.id.clone()));
        let apps = table.apps().map(|app| (Kind::App, app.id.clone()));
        let networks = table
            .networks()
            .map(|network| (Kind::Network, network.id.clone()));
        let certificates = shared.tls.ids().into_iter();
        let certificates = certificates.map(|id| (Kind::Certificate, id));
        certificates
            .chain(machines)
            .chain(apps)
            .chain(networks)
            .filter(|key| !seen.contains(key))
            .collect()
    };
    for (kind, id) in gone {
        del(shared, kind, &id);
    }
}

/// Takes a Machine out of service; gives whether it took hold, and its load. `None` when it is unknown.
/// The workers close their unused connections to it.
pub(crate) fn drain(shared: &Arc<Shared>, machine: &Name, if_idle: bool) -> Option<(bool, u32)> {
    let app = shared.table().machine(machine)?.app.clone();
    let config = shared.config();
    let (drained, load) =
        shared
            .app(&app)?
            .drain(machine, if_idle, Context::new(shared, &config))?;
    if drained {
        purge(shared, machine);
    }
    Some((drained, load))
}

/// A wake came to nothing.
pub(crate) fn wake_failed(shared: &Arc<Shared>, machine: &Name, code: &Name, message: &Name) {
    let Some(app) = shared
        .table()
        .machine(machine)
        .map(|known| known.app.clone())
    else {
        return;
    };
    let config = shared.config();
    if let Some(app) = shared.app(&app) {
        app.wake_failed(machine, code, message, Context::new(shared, &config));
    }
}

fn put_network(shared: &Arc<Shared>, network: Network) -> Result<bool, String> {
    let id = network.id.clone();
    let path = network.netns.clone();
    let touched = shared.table_mut().put(Entity::Network(network));
    let opened = path.as_deref().map(|path| Netns::open(Path::new(path)));
    let (netns, problem) = match opened {
        Some(Ok(netns)) => (Some(Arc::new(netns)), None),
        Some(Err(error)) => {
            let path = path.as_deref().unwrap_or_default();
            (
                None,
                Some(format!(
                    "the namespace {path} of network {id} cannot be opened: {error}"
                )),
            )
        }
        None => (None, None),
    };
    let known = shared.netns(&id);
    let same = matches!((&netns, &known), (Some(new), Some(old)) if new.same(old));
    if !same {
        shared.set_netns(&id, netns);
    }
    tell_workers(shared, &touched);
    problem.map_or(Ok(true), Err)
}

fn put_app(shared: &Arc<Shared>, app: App) -> bool {
    shared.app_or_new(&app.id);
    let touched = shared.table_mut().put(Entity::App(app));
    tell_workers(shared, &touched)
}

fn put_machine(shared: &Arc<Shared>, machine: Machine) -> bool {
    let id = machine.id.clone();
    let old = shared.table().machine(&id).cloned();
    let touched = shared.table_mut().put(Entity::Machine(machine));
    let Some(new) = shared.table().machine(&id).cloned() else {
        return false;
    };
    let mut over = false;
    if let Some(old) = old {
        if old.app != new.app {
            leave_app(shared, &old);
        }
        let went_down = old.state.is_up() && !new.state.is_up();
        over = went_down || old.instance != new.instance;
    }
    let config = shared.config();
    shared
        .app_or_new(&new.app)
        .put(new, Context::new(shared, &config));
    // Not before: who is told to leave it would come to it once more.
    if over {
        purge(shared, &id);
    }
    tell_workers(shared, &touched)
}

fn leave_app(shared: &Arc<Shared>, machine: &Machine) {
    let config = shared.config();
    if let Some(app) = shared.app(&machine.app) {
        app.remove(&machine.id, Context::new(shared, &config));
    }
    purge(shared, &machine.id);
    forget_if_empty(shared, &machine.app);
}

fn forget_if_empty(shared: &Arc<Shared>, app: &str) {
    let table = shared.table();
    if table.app(app).is_none() && table.machines_of(app).next().is_none() {
        shared.forget_app(app);
    }
}

fn purge(shared: &Arc<Shared>, machine: &Name) {
    for mailbox in &shared.mailboxes {
        mailbox.purge(machine);
    }
}

fn tell_workers(shared: &Arc<Shared>, touched: &Touched) -> bool {
    if touched.is_empty() {
        return false;
    }
    for mailbox in &shared.mailboxes {
        mailbox.touch(touched);
    }
    shared.ranges.touch(touched);
    true
}
