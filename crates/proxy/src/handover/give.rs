//! The side of the process that another one takes over from.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use roost_core::{Refusal, WaiterId};
use roost_wire::{Elder, HANDOVER, Heir, MAX_DESCRIPTORS, Role, SocketAt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{sleep, timeout};

use super::channel::Channel;
use super::stopped_in_time;
use crate::app::Context;
use crate::control::settled;
use crate::phase::Turn;
use crate::shared::Shared;
use crate::sockets::Lasting;

/// How long the other process may take for each step until this one lets go.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rest after a failed accept.
const REST: Duration = Duration::from_millis(100);

/// A process that has taken over, for as long as it lives.
struct Taken {
    channel: Channel,
    way: UnboundedSender<Elder>,
    lines: UnboundedReceiver<Elder>,
    drain: Duration,
}

/// Lets other processes take over, one after the other, for ever. Each time one has, `taken` gets how long
/// the connections here may go on.
pub(crate) async fn offer(
    shared: Arc<Shared>,
    listener: StdListener,
    taken: Sender<Duration>,
) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let mut following: Option<AbortHandle> = None;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(REST).await;
            continue;
        };
        let given = give(&shared, stream).await;
        let drain = match &given {
            Ok(heir) => Some(heir.drain),
            Err(error) => {
                tracing::warn!(%error, "no process took over");
                None
            }
        };
        // The one before learns by the end of its connection that it counts for us no more: after the
        // new one does.
        let ended = drain.is_some() || shared.heir.is_lost();
        if ended && let Some(before) = following.take() {
            before.abort();
        }
        if let Ok(heir) = given {
            following = Some(spawn_local(follow(shared.clone(), heir)).abort_handle());
        }
        if let Some(drain) = drain {
            // Nobody receives once the process ends.
            let _ = taken.send(drain).await;
        }
    }
}

/// Hands everything over; after an error everything is as it was.
async fn give(shared: &Arc<Shared>, stream: UnixStream) -> io::Result<Taken> {
    let mut channel = Channel::new(stream)?;
    let drain = match stopped_in_time(timeout(PATIENCE, channel.hear()).await)? {
        Heir::Take {
            handover: HANDOVER,
            drain_ms,
            version,
        } => {
            tracing::info!(%version, "another process takes over");
            Duration::from_millis(drain_ms)
        }
        Heir::Take { handover, .. } => {
            let message = format!("this proxy hands over by version {HANDOVER}, not {handover}");
            return refuse(&mut channel, message).await;
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    // They have to be known before the workers let go of them: those too that are being opened.
    settled(shared).await;
    let sockets = shared.sockets.all();
    if shared.turn(Turn::Take) {
        return give_all(shared, channel, drain, sockets).await;
    }
    match shared.phase.role() {
        Role::Draining => give_load(shared, channel, drain).await,
        role => refuse(&mut channel, format!("this proxy is {role:?}")).await,
    }
}

async fn refuse<T>(channel: &mut Channel, message: String) -> io::Result<T> {
    let line = Elder::Refuse {
        message: message.as_str().into(),
    };
    channel.say(&line)?;
    stopped_in_time(timeout(PATIENCE, channel.flush()).await)?;
    Err(io::Error::other(message))
}

async fn give_all(
    shared: &Arc<Shared>,
    mut channel: Channel,
    drain: Duration,
    sockets: Vec<(SocketAt, Lasting)>,
) -> io::Result<Taken> {
    let passed = async {
        settled(shared).await;
        pass(&mut channel, &sockets).await
    };
    let passed = stopped_in_time(timeout(PATIENCE, passed).await);
    let handed = match passed {
        Ok(()) => hand(shared, &mut channel).await,
        Err(error) => Err(error),
    };
    match handed {
        Ok((way, lines)) => {
            shared.turn(Turn::Taken);
            Ok(Taken {
                channel,
                way,
                lines,
                drain,
            })
        }
        Err(error) => {
            // The other one must know before we accept again: it would otherwise begin now.
            drop(channel);
            take_back(shared, sockets).await;
            Err(error)
        }
    }
}

/// Everything but sockets, which are another process's already.
async fn give_load(
    shared: &Arc<Shared>,
    mut channel: Channel,
    drain: Duration,
) -> io::Result<Taken> {
    let (way, lines) = hand(shared, &mut channel).await?;
    Ok(Taken {
        channel,
        way,
        lines,
        drain,
    })
}

async fn pass(channel: &mut Channel, sockets: &[(SocketAt, Lasting)]) -> io::Result<()> {
    for some in sockets.chunks(MAX_DESCRIPTORS) {
        let descriptors: Vec<_> = some.iter().map(|(_, socket)| socket.as_fd()).collect();
        let sockets = some.iter().map(|(place, _)| *place).collect();
        channel
            .pass(&Elder::Sockets { sockets }, &descriptors)
            .await?;
    }
    Ok(())
}

/// Says what is under way, and lets the other one decide from then on.
async fn hand(
    shared: &Arc<Shared>,
    channel: &mut Channel,
) -> io::Result<(UnboundedSender<Elder>, UnboundedReceiver<Elder>)> {
    let (way, mut lines) = unbounded_channel();
    shared.heir.follow(way.clone());
    for app in shared.apps() {
        app.hand_over(shared);
    }
    drop(way.send(Elder::Given));
    let spoken = async {
        let ready = speak(shared, channel, &mut lines, Some(&Heir::Ready));
        stopped_in_time(timeout(PATIENCE, ready).await)?;
        drop(way.send(Elder::Go));
        // From here on only its end, which shows at once, brings anything back.
        speak(shared, channel, &mut lines, Some(&Heir::Serving)).await
    };
    let spoken = spoken.await;
    match spoken {
        Ok(()) => Ok((way, lines)),
        Err(error) => {
            shared.heir.lose(&way);
            Err(error)
        }
    }
}

/// Accepts again, by the very sockets.
async fn take_back(shared: &Arc<Shared>, sockets: Vec<(SocketAt, Lasting)>) {
    for (place, socket) in sockets {
        match socket.as_fd().try_clone_to_owned() {
            Ok(socket) => shared.sockets.inherit([(place, socket)]),
            Err(error) => tracing::warn!(%error, at = %place.at, "a socket was lost"),
        }
    }
    shared.heir.take_back();
    let config = shared.config();
    for app in shared.apps() {
        app.take_back(Context::new(shared, &config));
    }
    shared.turn(Turn::TakeBack);
    settled(shared).await;
    shared.sockets.close_unclaimed();
}

/// Speaks with the process that has taken over, as long as it lives.
async fn follow(shared: Arc<Shared>, heir: Taken) {
    let Taken {
        mut channel,
        way,
        mut lines,
        ..
    } = heir;
    if let Err(error) = speak(&shared, &mut channel, &mut lines, None).await {
        tracing::warn!(%error, "the process that took over is gone");
    }
    shared.heir.lose(&way);
}

/// Sends what there is to say and takes the answers, until a line comes.
async fn speak(
    shared: &Arc<Shared>,
    channel: &mut Channel,
    lines: &mut UnboundedReceiver<Elder>,
    until: Option<&Heir>,
) -> io::Result<()> {
    loop {
        while let Some(line) = channel.heard()? {
            if Some(&line) == until {
                return Ok(());
            }
            obey(shared, line);
        }
        tokio::select! {
            turned = channel.turn() => turned?,
            Some(line) = lines.recv() => channel.say(&line)?,
        }
    }
}

fn obey(shared: &Arc<Shared>, line: Heir) {
    match line {
        Heir::Grant {
            app,
            waiter,
            machine,
            port,
        } => {
            let config = shared.config();
            let context = Context::new(shared, &config);
            let machine = Arc::from(machine);
            let app = shared.app_or_new(&app);
            app.granted(WaiterId(waiter), &machine, port, context);
        }
        Heir::Refuse {
            app,
            waiter,
            code,
            http_code,
            message,
        } => {
            let refusal = Refusal::Relayed {
                code,
                http_code,
                message,
            };
            if let Some(app) = shared.app(&app) {
                app.refused_there(WaiterId(waiter), refusal, shared);
            }
        }
        Heir::Take { .. } | Heir::Ready | Heir::Serving | Heir::Other => {}
    }
}
