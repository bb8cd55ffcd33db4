//! DNS over TCP (RFC 7766): queries may be pipelined and are answered as answers come.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use roost_dns::{Forward, MAX_QUERY, Outcome, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::dns::context::Context;
use crate::dns::upstream::framed;
use crate::dns::{Answering, Closing};
use crate::sockets::Held;

/// How long a connection may go without a whole query, or without taking a reply.
const IDLE: Duration = Duration::from_secs(10);
/// Queries of one connection that wait for the host's resolvers.
const PENDING: usize = 16;
/// Rest after a failed accept, which is for want of descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Answers a listener's connections until the server is closed, and then those that came before.
pub(super) async fn serve(
    context: Arc<Context>,
    listener: Held<TcpListener>,
    mut closing: Closing,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = closing.closed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if let Some(place) = context.places().take(peer) {
                        let context = context.clone();
                        connections.spawn(async move {
                            let _place = place;
                            // Whatever ends a conversation, the caller sees the connection close.
                            let _ = Conversation::new(context, stream, peer).run().await;
                        });
                    }
                }
                Err(_) => sleep(ACCEPT_REST).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    let _answering = Answering::new(context.shared());
    while connections.join_next().await.is_some() {}
}

/// One connection.
#[derive(Debug)]
struct Conversation {
    context: Arc<Context>,
    stream: TcpStream,
    peer: SocketAddr,
    inbox: Vec<u8>,
    pending: JoinSet<Vec<u8>>,
    /// When it ends unless a whole query comes.
    deadline: Instant,
}

// === impl Conversation ===

impl Conversation {
    fn new(context: Arc<Context>, stream: TcpStream, peer: SocketAddr) -> Self {
        Self {
            context,
            stream,
            peer,
            inbox: Vec::new(),
            pending: JoinSet::new(),
            deadline: Instant::now() + IDLE,
        }
    }

    async fn run(mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        loop {
            self.answer_inbox().await?;
            let may_read = self.pending.len() < PENDING;
            tokio::select! {
                Some(reply) = self.pending.join_next(), if !self.pending.is_empty() => {
                    self.deadline = Instant::now() + IDLE;
                    self.send(&reply.unwrap_or_default()).await?;
                }
                read = self.stream.read_buf(&mut self.inbox), if may_read => {
                    if read? == 0 {
                        return self.finish().await;
                    }
                }
                () = sleep_until(self.deadline), if self.pending.is_empty() => return Ok(()),
            }
        }
    }

    /// Answers the whole queries read so far, as many as may be pending.
    async fn answer_inbox(&mut self) -> io::Result<()> {
        while self.pending.len() < PENDING
            && let Some(query) = take_frame(&mut self.inbox)?
        {
            self.deadline = Instant::now() + IDLE;
            match self.context.answer(&query, Transport::Tcp) {
                Outcome::Reply(reply) => self.send(&reply).await?,
                Outcome::Drop => {}
                Outcome::Forward(forward) => self.forward(forward).await?,
            }
        }
        Ok(())
    }

    async fn forward(&mut self, forward: Box<Forward>) -> io::Result<()> {
        match self.context.admit(&forward, self.peer) {
            Err(reply) => self.send(&reply).await,
            Ok(admission) => {
                let context = self.context.clone();
                self.pending.spawn(async move {
                    let _admission = admission;
                    context.resolve(&forward).await
                });
                Ok(())
            }
        }
    }

    /// The caller has said all it wants to; what is pending is still answered.
    async fn finish(mut self) -> io::Result<()> {
        while let Some(reply) = self.pending.join_next().await {
            self.send(&reply.unwrap_or_default()).await?;
        }
        Ok(())
    }

    async fn send(&mut self, reply: &[u8]) -> io::Result<()> {
        if reply.is_empty() {
            return Ok(());
        }
        timeout(IDLE, self.stream.write_all(&framed(reply))).await?
    }
}

/// Takes the first whole query out of what was read; fails when it is longer than any query.
fn take_frame(inbox: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let Some((head, rest)) = inbox.split_first_chunk::<2>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes(*head));
    if length > MAX_QUERY {
        return Err(io::Error::other("the query is longer than any query"));
    }
    let Some(query) = rest.get(..length).map(<[u8]>::to_vec) else {
        return Ok(None);
    };
    inbox.drain(..2 + length);
    Ok(Some(query))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Queries are cut out of the stream one by one, whole ones only.
    #[test]
    fn frames_are_taken_whole() {
        let mut inbox = vec![0, 2, 7, 8, 0, 1, 9, 0, 3, 1];
        assert_eq!(Some(vec![7, 8]), take_frame(&mut inbox).unwrap());
        assert_eq!(Some(vec![9]), take_frame(&mut inbox).unwrap());
        assert_eq!(None, take_frame(&mut inbox).unwrap());
        assert_eq!(vec![0, 3, 1], inbox);
    }

    /// A length that no query has ends the connection before anything is kept for it.
    #[test]
    fn long_frames_are_refused() {
        assert!(take_frame(&mut vec![0x10, 0x01]).is_err());
        assert_eq!(None, take_frame(&mut vec![0x10, 0x00]).unwrap());
    }
}
