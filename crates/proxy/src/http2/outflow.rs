//! A body in the form of HTTP/1.1, sent in HTTP/2.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use roost_http1::{ChunkedScanner, parse_trailers};

use super::room::Room;
use super::{broken, headers};

/// Bytes taken by one write.
const MAX_WRITE: usize = 64 * 1024;

/// How what is written is delimited.
#[derive(Debug)]
pub(super) enum Body {
    /// So many bytes are left.
    Length(u64),
    /// Chunks.
    Chunks(Box<ChunkedScanner>),
    /// Whatever comes, until it is said that nothing does.
    Tunnel,
    /// Nothing: the stream has its end.
    Done,
}

/// The sending side of one stream. It takes no more than the other side has room for.
#[derive(Debug)]
pub(super) struct Outflow {
    to: SendStream<Bytes>,
    body: Body,
    room: Option<Arc<Room>>,
}

impl Outflow {
    /// A stream that has its head.
    pub(super) fn new(to: SendStream<Bytes>, body: Body) -> Self {
        Self {
            to,
            body,
            room: None,
        }
    }

    /// What waits for the other side keeps `room`.
    pub(super) fn in_room(mut self, room: &Arc<Room>) -> Self {
        self.room = Some(room.clone());
        self
    }

    /// Takes bytes in, as many as there is room for.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wanted = bytes.len().min(MAX_WRITE);
        match &mut self.body {
            Body::Done => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Body::Tunnel => {
                let count = ready!(poll_room(&mut self.to, cx, wanted))?;
                let data = bytes.get(..count).unwrap_or_default();
                Poll::Ready(self.send(data.to_vec(), false).map(|()| count))
            }
            Body::Length(left) => {
                let wanted = wanted.min(usize::try_from(*left).unwrap_or(usize::MAX));
                let count = ready!(poll_room(&mut self.to, cx, wanted))?;
                *left -= count as u64;
                let ends = *left == 0;
                let data = bytes.get(..count).unwrap_or_default();
                Poll::Ready(self.send(data.to_vec(), ends).map(|()| count))
            }
            Body::Chunks(_) => self.poll_chunks(cx, bytes.get(..wanted).unwrap_or_default()),
        }
    }

    /// Sends the stream's end, where only the writer knows of it.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self.body {
            Body::Tunnel => self.send(Vec::new(), true),
            _ => Ok(()),
        }
    }

    /// Ready when the other side wants nothing of the stream any more.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.to.poll_reset(cx).map(drop)
    }

    /// Ends the stream before its time, unless it has its end.
    pub(super) fn abort(&mut self) {
        let reason = match self.body {
            Body::Done => return,
            Body::Tunnel => Reason::CANCEL,
            Body::Length(_) | Body::Chunks(_) => Reason::INTERNAL_ERROR,
        };
        self.to.send_reset(reason);
    }

    /// Lines between the data need no room: the end of a body gets through to who has none.
    fn poll_chunks(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = match poll_room(&mut self.to, cx, bytes.len()) {
            Poll::Ready(room) => room?,
            Poll::Pending => 0,
        };
        let Body::Chunks(chunks) = &mut self.body else {
            return Poll::Ready(Ok(0));
        };
        let mut data = Vec::with_capacity(room.min(bytes.len()));
        let (used, done) = unchunk(chunks, bytes, room, &mut data)?;
        let trailers = done.then(|| trailers_of(chunks)).transpose()?.flatten();
        match (done, trailers) {
            (false, _) if used == 0 => return Poll::Pending,
            (false, _) if data.is_empty() => {}
            (true, Some(trailers)) => {
                if !data.is_empty() {
                    self.send(data, false)?;
                }
                self.body = Body::Done;
                self.to.send_trailers(trailers).map_err(broken)?;
            }
            (ends, _) => self.send(data, ends)?,
        }
        // What was asked for the lines goes back: others on the connection may need it.
        self.to.reserve_capacity(0);
        Poll::Ready(Ok(used))
    }

    fn send(&mut self, data: Vec<u8>, ends: bool) -> io::Result<()> {
        if ends {
            self.body = Body::Done;
        }
        let data = match &self.room {
            Some(room) if !data.is_empty() => room.keep_for(data),
            _ => data.into(),
        };
        self.to.send_data(data, ends).map_err(broken)
    }
}

/// How many of `wanted` bytes may be sent now; at least one.
fn poll_room(
    to: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
    wanted: usize,
) -> Poll<io::Result<usize>> {
    to.reserve_capacity(wanted);
    loop {
        let room = to.capacity().min(wanted);
        if room > 0 || wanted == 0 {
            return Poll::Ready(Ok(room));
        }
        match ready!(to.poll_capacity(cx)) {
            Some(more) => more.map_err(broken)?,
            None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
    }
}

/// Takes chunks apart, with at most `room` bytes of data; gives how many bytes were used and whether the
/// body is complete.
fn unchunk(
    chunks: &mut ChunkedScanner,
    bytes: &[u8],
    room: usize,
    data: &mut Vec<u8>,
) -> io::Result<(usize, bool)> {
    let mut used = 0;
    while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
        let take = match usize::try_from(chunks.data_left()) {
            // A line is read byte by byte: what is behind it may need room.
            Ok(0) => 1,
            Ok(left) => left.min(room - data.len()).min(rest.len()),
            Err(_) => rest.len().min(room - data.len()),
        };
        if take == 0 {
            break;
        }
        let scanned = chunks.scan(rest.get(..take).unwrap_or_default(), Some(data));
        let progress = scanned.map_err(|error| io::Error::other(error.0))?;
        used += progress.consumed;
        if progress.done {
            return Ok((used, true));
        }
    }
    Ok((used, false))
}

fn trailers_of(chunks: &ChunkedScanner) -> io::Result<Option<HeaderMap>> {
    if chunks.trailers() == b"\r\n" {
        return Ok(None);
    }
    let mut trailers = HeaderMap::new();
    let add = |name: &str, value: &[u8]| headers::add(&mut trailers, name, value);
    parse_trailers(chunks.trailers(), add).map_err(|error| io::Error::other(error.0))?;
    Ok((!trailers.is_empty()).then_some(trailers))
}
