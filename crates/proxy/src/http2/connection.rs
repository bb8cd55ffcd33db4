//! One client connection in HTTP/2, from its preface to its end.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use roost_http1::MAX_HEAD;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

use super::Opening;
use super::call;
use super::meter::Side;
use super::room::{Room, Rooms};
use super::wire::{Seen, Wire};
use crate::client::ClientStream;
use crate::http::ending::{self, Ending};
use crate::http::{Activity, Manner, Watchdog};
use crate::route::Target;
use crate::worker::Worker;

/// Bytes of one request's body that may be here and not with the Machine.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The largest window that there is.
const MAX_WINDOW: u32 = (1 << 31) - 1;
/// Bytes of one response that may be here and not with the client.
const SEND_BUFFER: usize = 64 * 1024;
/// How long a client may take to read the last words.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the streams of a connection share.
pub(super) struct Shared {
    pub(super) worker: Rc<Worker>,
    pub(super) target: Target,
    pub(super) manner: Manner,
}

/// A request, and where its response goes.
type Call = (Request<RecvStream>, SendResponse<Bytes>);

/// How far a connection is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not on it.
    Open,
    /// The client was told to begin nothing new; what it began goes on.
    Closing,
    /// The client was told to go.
    Last,
}

struct Serving<S: ClientStream> {
    shared: Rc<Shared>,
    connection: Connection<Wire<S>, Bytes>,
    seen: Rc<Seen>,
    rooms: Rooms,
    streams: JoinSet<Arc<Room>>,
    /// The rooms of streams that are served, and whose heads may not have left.
    leaving: Vec<Arc<Room>>,
    max_streams: usize,
    phase: Phase,
    activity: Activity,
    watchdog: Watchdog,
    last: Option<Pin<Box<Sleep>>>,
}

/// Serves a connection until it ends.
pub(super) async fn serve<S: ClientStream>(shared: Rc<Shared>, stream: S, opening: Opening) {
    let lent = Rc::new(RefCell::new(stream));
    let wire = Wire::new(lent.clone(), Side::Client, opening.first, opening.planted);
    let ending = {
        let serving = std::pin::pin!(run(shared.clone(), wire));
        shared.target.group.unless_over(serving).await
    };
    // The library's hold on the stream went with the connection.
    if let Some(stream) = Rc::into_inner(lent) {
        ending::end(stream.into_inner(), ending.unwrap_or(Ending::Reset)).await;
    }
}

async fn run<S: ClientStream>(shared: Rc<Shared>, wire: Wire<S>) -> Ending {
    let seen = wire.seen();
    let max_streams = shared.worker.config().settings.http2_max_streams;
    let handshake = builder(max_streams).handshake(wire);
    match timeout(shared.manner.times.head, handshake).await {
        Ok(Ok(connection)) => {
            let serving = Serving {
                connection,
                seen,
                rooms: Rooms::new(&shared.worker.shared),
                streams: JoinSet::new(),
                leaving: Vec::new(),
                max_streams: max_streams as usize,
                phase: Phase::Open,
                activity: Activity::default(),
                watchdog: Watchdog::new(shared.manner.times.idle),
                last: None,
                shared,
            };
            serving.run().await
        }
        Ok(Err(_)) => Ending::Linger,
        Err(_) => Ending::Close,
    }
}

/// As much as all streams may send: those that wait for a Machine must not hold up the one that has it.
fn connection_window(max_streams: u32) -> u32 {
    let all = STREAM_WINDOW.saturating_mul(max_streams);
    all.clamp(STREAM_WINDOW, MAX_WINDOW)
}

fn builder(max_streams: u32) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(max_streams))
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEAD as u32)
        .max_concurrent_streams(max_streams)
        // What a client had sent already when its stream was reset is no mistake of its own.
        .max_concurrent_reset_streams(max_streams as usize)
        .enable_connect_protocol();
    builder
}

impl<S: ClientStream> Serving<S> {
    async fn run(mut self) -> Ending {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        loop {
            while let Poll::Ready(Some(ended)) = self.streams.poll_join_next(cx) {
                self.leaving.extend(ended.ok());
            }
            match self.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => self.begin(request, respond),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(end_after(&error)),
                Poll::Ready(None) => return Poll::Ready(Ending::Linger),
                Poll::Pending => break,
            }
        }
        if self.seen.full_since().is_none() {
            // The library has written all heads that it was given.
            self.leaving.clear();
        }
        self.turn(cx)
    }

    /// Does what the connection is there for, and takes a new request while there are not too many.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Call, h2::Error>>> {
        if self.streams.len() + self.leaving.len() < self.max_streams {
            return self.connection.poll_accept(cx);
        }
        let closed = self.connection.poll_closed(cx);
        closed.map(|result| result.err().map(Err))
    }

    fn begin(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let Some(room) = self.rooms.take(&self.shared.target) else {
            return respond.send_reset(Reason::REFUSED_STREAM);
        };
        let shared = self.shared.clone();
        self.streams.spawn_local(async move {
            call::serve(&shared, request, respond, &room).await;
            room
        });
    }

    /// Brings the connection nearer to its end where there is a reason.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let idle = self.streams.is_empty();
        if !idle {
            self.activity.note();
        }
        let (limit, activity) = (self.shared.manner.times.idle, Some(&self.activity));
        let expired = self.watchdog.poll_expired(cx, limit, activity).is_ready();
        let wanted = match self.phase {
            Phase::Open | Phase::Closing if self.seen.fault().is_some() => Phase::Last,
            Phase::Open if expired => Phase::Closing,
            Phase::Open if self.shared.worker.is_ending(&self.shared.target) => Phase::Closing,
            phase => phase,
        };
        if wanted != self.phase {
            self.enter(wanted);
            cx.waker().wake_by_ref();
        }
        let Some(patience) = self.last_words(idle) else {
            self.last = None;
            return Poll::Pending;
        };
        let last = self.last.get_or_insert_with(|| Box::pin(sleep(patience)));
        last.as_mut().poll(cx).map(|()| Ending::Reset)
    }

    /// How long the client may take to read what is left to be said, when no stream has more to say.
    fn last_words(&self, idle: bool) -> Option<Duration> {
        match self.phase {
            Phase::Open => None,
            Phase::Closing if !idle => None,
            Phase::Closing if self.connection.has_streams() => Some(self.shared.manner.times.idle),
            Phase::Closing | Phase::Last => Some(LAST_WORDS),
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        match phase {
            Phase::Open => {}
            Phase::Closing => self.connection.graceful_shutdown(),
            Phase::Last => {
                let fault = self.seen.fault().unwrap_or(Reason::ENHANCE_YOUR_CALM);
                self.connection.abrupt_shutdown(fault);
            }
        }
    }
}

/// What the client did wrong was told it in a last frame, which a reset could overtake.
fn end_after(error: &h2::Error) -> Ending {
    if error.is_io() {
        Ending::Close
    } else {
        Ending::Linger
    }
}
