//! The side of the process that takes over.

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use roost_wire::{Elder, HANDOVER, Heir};
use tokio::net::UnixStream;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::channel::Channel;
use super::lender::Lender;
use super::stopped_in_time;
use crate::control::settled;
use crate::phase::Turn;
use crate::shared::Shared;
use crate::worker::Worker;

/// How long an elder may take for each step.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes over from the processes with these control sockets, and accepts connections from then on, if this
/// process did not already. Gives how many sockets came. After an error, a sentence, nothing was taken and
/// they go on as before.
pub(crate) async fn take_over(
    shared: Arc<Shared>,
    from: Vec<String>,
    drain_ms: u64,
) -> Result<usize, String> {
    let taken = begin(&shared, &from, drain_ms).await;
    if taken.is_err() {
        shared.sockets.close_unclaimed();
    }
    let mut elders = taken?;
    let sockets = elders.iter().map(Lender::sockets).sum();
    if shared.turn(Turn::Begin) {
        settled(&shared).await;
    }
    let unclaimed = shared.sockets.close_unclaimed();
    tracing::info!(sockets, unclaimed, elders = elders.len(), "serving");
    for mut elder in elders.drain(..) {
        if let Err(error) = elder.say(&Heir::Serving).await {
            tracing::info!(%error, "an elder process has ended already");
        }
        spawn_local(elder.run());
    }
    Ok(sockets)
}

/// Until each of them has let go.
async fn begin(
    shared: &Arc<Shared>,
    from: &[String],
    drain_ms: u64,
) -> Result<Vec<Lender>, String> {
    let worker = Rc::new(Worker::new(shared.clone(), shared.now()));
    let mut elders = Vec::new();
    let failed = |path: &str, error: io::Error| format!("cannot take over from {path}: {error}");
    for path in from {
        let taking = timeout(PATIENCE, take(&worker, path, drain_ms)).await;
        let elder = stopped_in_time(taking).map_err(|error| failed(path, error))?;
        elders.push(elder);
    }
    for (elder, path) in elders.iter_mut().zip(from) {
        let going = timeout(PATIENCE, go(elder)).await;
        stopped_in_time(going).map_err(|error| failed(path, error))?;
    }
    Ok(elders)
}

async fn take(worker: &Rc<Worker>, path: &str, drain_ms: u64) -> io::Result<Lender> {
    let stream = UnixStream::connect(Path::new(path).with_extension("hand")).await?;
    let mut elder = Lender::new(worker, Channel::new(stream)?);
    let take = Heir::Take {
        handover: HANDOVER,
        version: env!("CARGO_PKG_VERSION").into(),
        drain_ms,
    };
    elder.say(&take).await?;
    elder.hear(&Elder::Given).await?;
    Ok(elder)
}

async fn go(elder: &mut Lender) -> io::Result<()> {
    elder.say(&Heir::Ready).await?;
    elder.hear(&Elder::Go).await
}
