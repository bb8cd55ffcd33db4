//! A raw TCP service: hold until a Machine is there, then relay.

use std::io;
use std::pin::pin;
use std::rc::Rc;

use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use crate::buffer::Buffer;
use crate::client::{ClientStream, reset};
use crate::route::Target;
use crate::splice::Pipes;
use crate::worker::Worker;

/// Serves one connection. Nothing more than `first`, which was read from the client already, is read before
/// a Machine has accepted.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    mut client: impl ClientStream,
    target: Target,
    first: Buffer,
) {
    let reached = tokio::select! {
        biased;
        () = target.group.over() => return reset(client),
        reached = worker.reach(&target, first.len()) => reached,
        () = gone(client.socket()) => return,
    };
    match reached {
        Ok((slot, mut machine)) => {
            let relayed = {
                let relaying = pin!(relay(
                    &worker.shared.pipes,
                    &mut client,
                    &mut machine,
                    first
                ));
                target.group.unless_over(relaying).await
            };
            if !matches!(relayed, Some(Ok(()))) {
                tracing::debug!(app = %target.app.name, ?relayed, "relay");
                reset(machine);
                reset(client);
            }
            drop(slot);
        }
        Err(error) => {
            worker
                .shared
                .log(&target.app.name, None, &error.code, &error.message, None);
            reset(client);
        }
    }
}

async fn relay(
    pipes: &Pipes,
    client: &mut impl ClientStream,
    machine: &mut TcpStream,
    first: Buffer,
) -> io::Result<()> {
    machine.write_all(first.unread()).await?;
    drop(first);
    client.relay(pipes, machine).await
}

/// Ends when the client has reset the connection. A half-closed one may still want its answer.
async fn gone(client: &TcpStream) {
    loop {
        match client.ready(Interest::ERROR).await {
            Ok(ready) if !ready.is_error() => tokio::task::yield_now().await,
            _ => return,
        }
    }
}
