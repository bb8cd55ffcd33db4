//! A raw TCP service: hold until a Machine is there, then relay.

use std::io;
use std::pin::pin;
use std::rc::Rc;

use roost_wire::Port;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use crate::buffer::Buffer;
use crate::client::{ClientStream, reset};
use crate::proxy_proto;
use crate::route::{Slot, Target};
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
    let (slot, machine) = match reached {
        Ok(reached) => reached,
        Err(error) => {
            let (shared, app) = (&worker.shared, &target.app.name);
            shared.log(app, None, &error.code, &error.message, None);
            return reset(client);
        }
    };
    slot.answered();
    relay_to(machine, &worker, client, &target, &slot, first).await;
    drop(slot);
}

/// Moves bytes until both sides have ended; an error of one resets both.
pub(crate) async fn relay_to(
    mut machine: TcpStream,
    worker: &Worker,
    mut client: impl ClientStream,
    target: &Target,
    slot: &Slot,
    first: Buffer,
) {
    let header = header_for(target, slot, &client);
    let relayed = {
        let pipes = &worker.shared.pipes;
        let relaying = pin!(relay(pipes, &mut client, &mut machine, header, first));
        target.group.unless_over(relaying).await
    };
    if !matches!(relayed, Some(Ok(()))) {
        tracing::debug!(app = %target.app.name, ?relayed, "relay");
        reset(machine);
        reset(client);
    }
}

/// What the Machine gets before the client's bytes; mostly nothing.
fn header_for(target: &Target, slot: &Slot, client: &impl ClientStream) -> Vec<u8> {
    let version = slot.port(target.port).and_then(Port::proxy_proto);
    let header = |version| proxy_proto::header(target, version, client.tls_facts().as_ref());
    version.map_or_else(Vec::new, header)
}

async fn relay(
    pipes: &Pipes,
    client: &mut impl ClientStream,
    machine: &mut TcpStream,
    header: Vec<u8>,
    first: Buffer,
) -> io::Result<()> {
    // In one write: some programs read the header only if all of it is there at once.
    machine.write_all(&header).await?;
    machine.write_all(first.unread()).await?;
    drop((header, first));
    client.relay(pipes, machine).await
}

/// Ends when the client has reset the connection. A half-closed one may still want its answer.
pub(crate) async fn gone(client: &TcpStream) {
    loop {
        match client.ready(Interest::ERROR).await {
            Ok(ready) if !ready.is_error() => tokio::task::yield_now().await,
            _ => return,
        }
    }
}
