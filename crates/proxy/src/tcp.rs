//! A raw TCP service: hold until a Machine is there, then relay.

use std::rc::Rc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::relay;
use crate::route::Target;
use crate::worker::Worker;

/// Serves one connection. Nothing is read from the client before a Machine has accepted.
pub(crate) async fn serve(worker: Rc<Worker>, mut client: TcpStream, target: Target) {
    let reached = tokio::select! {
        biased;
        reached = worker.reach(&target, 0) => reached,
        () = gone(&client) => return,
    };
    match reached {
        Ok((slot, mut machine)) => {
            if let Err(error) = relay::run(&mut client, &mut machine).await {
                tracing::debug!(app = %target.app.name, %error, "relay");
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

/// Closes with a RST, as a closed port or a dead peer would.
pub(crate) fn reset(stream: TcpStream) {
    if let Err(error) = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "linger");
    }
    drop(stream);
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
