//! DNS over UDP: one datagram in, at most one out.

use std::net::SocketAddr;
use std::sync::Arc;

use roost_dns::{MAX_QUERY, Outcome, Transport};
use tokio::net::UdpSocket;
use tokio::task::{JoinSet, yield_now};

use crate::dns::context::Context;
use crate::dns::{Answering, Closing};
use crate::sockets::Held;

/// Datagrams taken before other tasks of the thread have their turn.
const BATCH: usize = 64;

/// Answers a socket's datagrams until the server is closed, and then what was taken before.
pub(super) async fn serve(context: Arc<Context>, socket: Held<UdpSocket>, mut closing: Closing) {
    let socket = Arc::new(socket);
    let mut forwards = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = closing.closed() => break,
            ready = socket.readable() => {
                if ready.is_err() {
                    return;
                }
                take_batch(&context, &socket, &mut forwards);
                yield_now().await;
            }
            Some(_) = forwards.join_next(), if !forwards.is_empty() => {}
        }
    }
    drop(socket);
    let _answering = Answering::new(context.shared());
    while forwards.join_next().await.is_some() {}
}

fn take_batch(context: &Arc<Context>, socket: &Arc<Held<UdpSocket>>, forwards: &mut JoinSet<()>) {
    // One byte more than is read, so that a longer datagram shows.
    let mut query = [0; MAX_QUERY + 1];
    for _ in 0..BATCH {
        let (length, peer) = match socket.try_recv_from(&mut query) {
            Ok(received) => received,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            // An error of an earlier reply, reported late; the next datagram may be fine.
            Err(_) => continue,
        };
        let query = query.get(..length).unwrap_or_default();
        match context.answer(query, Transport::Udp) {
            Outcome::Reply(reply) => send(socket, &reply, peer),
            Outcome::Drop => {}
            Outcome::Forward(forward) => match context.admit(&forward, peer) {
                Err(reply) => send(socket, &reply, peer),
                Ok(admission) => {
                    let (context, socket) = (context.clone(), socket.clone());
                    forwards.spawn(async move {
                        let reply = context.resolve(&forward).await;
                        drop(admission);
                        send(&socket, &reply, peer);
                    });
                }
            },
        }
    }
}

/// Sends what fits into the socket's buffer; a datagram may be lost anyway and the caller asks again.
fn send(socket: &UdpSocket, reply: &[u8], peer: SocketAddr) {
    let _ = socket.try_send_to(reply, peer);
}
