//! Whether an app may send a request to another one, and to which.
//!
//! Within its own app a Machine may always. Another app takes requests of the called port's number, whether it
//! has an address or not, when both are on one network; or of one organization that lets replays cross its
//! networks; or when the other's organization lists this one. Then the other's `allowed_apps` count, for which
//! the app that replays is the caller: it decides what is sent, and could have called itself.

use std::sync::Arc;

use roost_core::Table;
use roost_wire::App;

use super::{Ground, Refused};
use crate::app::AppHandle;

/// The app `name`, if the app `source` may send a request there.
pub(super) fn find(
    ground: Ground<'_>,
    source: &str,
    name: &str,
) -> Result<Arc<AppHandle>, Refused> {
    let unknown = || {
        Refused::coded(
            "PA04",
            format!("the app {name} that is to get it is unknown"),
        )
    };
    let shared = &ground.worker.shared;
    {
        let table = shared.table();
        check(&table, source, name, ground.target.port)?;
    }
    shared.app(name).ok_or_else(unknown)
}

fn check(table: &Table, source: &str, name: &str, port: u16) -> Result<(), Refused> {
    let from = table.app(source).ok_or_else(|| {
        let message = format!("the app {source} that asked for a replay is unknown");
        Refused::coded("PE01", message)
    })?;
    if name == source {
        return Ok(());
    }
    let to = table
        .app(name)
        .ok_or_else(|| Refused::coded("PA04", format!("there is no app {name}")))?;
    may_go(from, to)?;
    let offer = table.offer(name, port).ok_or_else(|| {
        Refused::coded(
            "PR04",
            format!("the app {name} has no service on port {port}"),
        )
    })?;
    if !offer.allows(Some(from)) {
        let message =
            format!("port {port} of the app {name} does not list {source} among its allowed_apps");
        return Err(Refused::coded("PA05", message));
    }
    if !offer.port.is_http() {
        let message = format!("port {port} of the app {name} has no http handler");
        return Err(Refused::coded("PA03", message));
    }
    Ok(())
}

fn may_go(from: &App, to: &App) -> Result<(), Refused> {
    let refused = |message| Err(Refused::coded("PA05", message));
    if from.org != to.org {
        if to.replay_sources.contains(&from.org) {
            return Ok(());
        }
        return refused(format!(
            "the organization of the app {} takes no replays from {} (its admin can: roost orgs \
             replay-sources add {})",
            to.id, from.org, from.org
        ));
    }
    if from.network == to.network || to.cross_network_replays {
        return Ok(());
    }
    refused(format!(
        "the app {} is on another network, and {} lets no replay cross (roost orgs \
         cross-network-replays enable)",
        to.id, to.org
    ))
}
