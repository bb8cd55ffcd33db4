//! The beginning of a `PostgreSQL` session inside TLS.
//!
//! A server accepts connections some time before it takes sessions, and tells who comes then that it is starting
//! up. Who wakes a Machine, or comes soon after, is not told so: the beginning is kept and said again on another
//! connection, until the server takes it or has been up for as long as a wake may last.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use roost_pg_startup::{FirstReply, Opening, first_reply, opening, packet_length};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::stream::Tls;
use super::{Failure, log};
use crate::buffer::Buffer;
use crate::client::{ClientStream, reset, send};
use crate::route::{Slot, Target};
use crate::tcp::{self, gone};
use crate::worker::Worker;

/// Between tries: at first, and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(250)];
const READ: usize = 4096;

/// How a try went.
enum Try {
    /// The server is starting up.
    Again(Slot),
    /// The connection goes on; what the server said is for the client.
    On(Slot, TcpStream, Vec<u8>),
    /// There is nobody to serve, or nobody to serve it.
    Over,
}

/// Serves a client that is through its handshake.
pub(super) async fn serve(worker: Rc<Worker>, mut client: Tls, target: Target) {
    let patience = Duration::from_millis(worker.config().settings.tls_handshake_timeout_ms);
    let heard = tokio::select! {
        biased;
        () = target.group.over() => return reset(client),
        heard = timeout(patience, hear(&mut client)) => heard,
    };
    match heard {
        Ok(Ok(Some(beginning))) => begin(&worker, client, &target, &beginning).await,
        Ok(Ok(None)) => {}
        Ok(Err(first)) => tcp::serve(worker, client, target, first).await,
        Err(_) => {
            let most = patience.as_millis();
            let message = format!("a caller did not begin its session within {most} ms");
            log(&worker, &target, &Failure::new("PT08", message));
            reset(client);
        }
    }
}

/// Reads the startup packet; `None` when the client has gone. What is none comes back as an error.
async fn hear(client: &mut Tls) -> Result<Option<Vec<u8>>, Buffer> {
    let mut read = Vec::with_capacity(READ);
    loop {
        match client.read_buf(&mut read).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Ok(None),
        }
        match opening(&read) {
            Ok(Some(Opening::Startup)) if packet_length(&read) <= Some(read.len()) => {
                return Ok(Some(read));
            }
            Ok(Some(Opening::Startup) | None) => {}
            _ => return Err(Buffer::from(read)),
        }
        read.reserve(READ);
    }
}

async fn begin(worker: &Rc<Worker>, mut client: Tls, target: &Target, beginning: &[u8]) {
    let [mut pause, longest] = PAUSES;
    loop {
        let tried = tokio::select! {
            biased;
            () = target.group.over() => return reset(client),
            tried = attempt(worker, target, beginning) => tried,
            () = gone(client.socket()) => return,
        };
        let slot = match tried {
            Try::Again(slot) => slot,
            Try::On(slot, machine, reply) => {
                if send(&mut client, &reply).await.is_err() {
                    return reset(client);
                }
                let nothing = Buffer::default();
                return tcp::relay_to(machine, worker, client, target, &slot, nothing).await;
            }
            Try::Over => return reset(client),
        };
        tokio::select! {
            biased;
            () = target.group.over() => return reset(client),
            () = sleep(pause) => pause = (pause * 2).min(longest),
            () = gone(client.socket()) => return,
        }
        // Held so long, so that the Machine does not count as idle.
        drop(slot);
    }
}

/// Gets a Machine, says the beginning and looks at what is said to it.
async fn attempt(worker: &Rc<Worker>, target: &Target, beginning: &[u8]) -> Try {
    let (slot, mut machine) = match worker.reach(target, beginning.len()).await {
        Ok(reached) => reached,
        Err(error) => {
            let (shared, app) = (&worker.shared, &target.app.name);
            shared.log(app, None, &error.code, &error.message, None);
            return Try::Over;
        }
    };
    slot.answered();
    let Ok((reply, first)) = ask(&mut machine, beginning).await else {
        return Try::Over;
    };
    let patience = worker.config().limits.wake_timeout;
    let young = worker.shared.now() < slot.up_since().saturating_add(patience);
    if first == Some(FirstReply::StartingUp) && young {
        return Try::Again(slot);
    }
    Try::On(slot, machine, reply)
}

/// The first that a server says to a beginning, and what it is; `None` when it ends before.
async fn ask(
    machine: &mut TcpStream,
    beginning: &[u8],
) -> io::Result<(Vec<u8>, Option<FirstReply>)> {
    machine.write_all(beginning).await?;
    let mut reply = Vec::new();
    loop {
        reply.reserve(READ);
        if machine.read_buf(&mut reply).await? == 0 {
            return Ok((reply, None));
        }
        if let Some(first) = first_reply(&reply) {
            return Ok((reply, Some(first)));
        }
    }
}
