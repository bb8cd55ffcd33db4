//! One stream of a client: the only request on a connection of HTTP/1.1 that there is not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer::{Answer, Asked};
use super::broken;
use super::inflow::Inflow;
use super::outflow::{Body, Outflow};
use super::request::Head;
use super::room::Room;

/// Interim responses that are passed on: the client need make no room for them.
const MAX_INTERIM: usize = 8;
/// Bytes of their heads.
const MAX_INTERIM_BYTES: usize = 8 * 1024;

/// A stream, read and written as a connection of HTTP/1.1. When it is dropped before its response is
/// complete, it is reset.
#[derive(Debug)]
pub(super) struct Stream {
    inflow: Inflow,
    out: Out,
    asked: Asked,
    /// It is a WebSocket.
    opened: bool,
    interim: usize,
    interim_bytes: usize,
    room: Arc<Room>,
}

#[derive(Debug)]
enum Out {
    /// No final head was written.
    Head(SendResponse<Bytes>),
    Body(Outflow),
}

impl Stream {
    /// A stream whose request begins with `head`.
    pub(super) fn new(
        head: Head,
        from: RecvStream,
        respond: SendResponse<Bytes>,
        room: &Arc<Room>,
    ) -> Self {
        let asked = Asked {
            method: head.method,
            key: head.key,
            grpc: head.grpc,
        };
        Self {
            inflow: Inflow::new(from, head.form, head.text),
            out: Out::Head(respond),
            asked,
            opened: false,
            interim: 0,
            interim_bytes: 0,
            room: room.clone(),
        }
    }

    /// Takes in what has come, whoever reads it when; false when the client has given the stream up.
    pub(super) fn absorb(&mut self, cx: &mut Context<'_>) -> bool {
        self.inflow.absorb(cx)
    }

    /// Its end from the client's side: who has opened a WebSocket may close its side, every other client
    /// waits for its response.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.out {
            Out::Body(_) if self.opened => Poll::Ready(Ok(())),
            Out::Body(flow) => flow.poll_reset(cx).map(Ok),
            Out::Head(respond) => respond.poll_reset(cx).map(|_| Ok(())),
        }
    }

    /// Sends the head that `bytes` begin with.
    fn write_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Out::Head(respond) = &mut self.out else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let (answer, length) = self.asked.answer(bytes)?;
        match answer {
            Answer::Interim(response) => {
                self.interim += 1;
                self.interim_bytes += length;
                if self.interim <= MAX_INTERIM && self.interim_bytes <= MAX_INTERIM_BYTES {
                    respond.send_informational(response).map_err(broken)?;
                }
            }
            Answer::Final(response, body) => {
                let ends = matches!(body, Body::Done);
                self.opened = matches!(body, Body::Tunnel);
                let flow = respond.send_response(response, ends).map_err(broken)?;
                self.out = Out::Body(Outflow::new(flow, body).in_room(&self.room));
            }
        }
        Ok(length)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        ready!(this.inflow.poll_read(cx, out))?;
        if out.filled().len() == before && this.inflow.is_over() {
            return this.poll_end(cx);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match &mut this.out {
            Out::Body(flow) => flow.poll_write(cx, bytes),
            Out::Head(_) => Poll::Ready(this.write_head(bytes)),
        }
    }

    /// What was taken leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match &mut self.get_mut().out {
            Out::Body(flow) => flow.finish(),
            Out::Head(_) => Ok(()),
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        match &mut self.out {
            Out::Body(flow) => flow.abort(),
            Out::Head(respond) => respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }
}
