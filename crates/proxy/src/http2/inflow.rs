//! A body that arrives in HTTP/2, read as the bytes it has in HTTP/1.1.
//!
//! The library keeps each frame as a part of the memory that it was read into, so that a small one which
//! nobody reads holds thirty times its size. So frames are taken from it as they come, whether somebody reads
//! or not, and small ones are put together; the window is given back for what was read.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::RecvStream;
use http::HeaderMap;
use tokio::io::ReadBuf;

use super::broken;

/// Frames below this size are copied.
const SMALL: usize = 4096;

/// How the body is delimited in HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// By its length, which the head tells, or not at all.
    Plain,
    /// By chunks, since nobody knows its length.
    Chunks,
}

/// How far the stream was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Body,
    Trailers,
    End,
}

/// The receiving side of one stream. Its sender may send more only when what it sent was read, so there is
/// never more here than one window.
#[derive(Debug)]
pub(super) struct Inflow {
    from: RecvStream,
    form: Form,
    stage: Stage,
    /// What is read before `data`: a head, the line of a chunk, the end of chunks.
    front: Bytes,
    data: Bytes,
    /// What came behind it.
    waiting: VecDeque<Bytes>,
    /// Small frames that came behind those.
    small: Vec<u8>,
    /// Bytes of the window that are given back once `data` was read.
    owed: usize,
}

impl Inflow {
    /// A body with `head` before it.
    pub(super) fn new(from: RecvStream, form: Form, head: Vec<u8>) -> Self {
        Self {
            from,
            form,
            stage: Stage::Body,
            front: head.into(),
            data: Bytes::new(),
            waiting: VecDeque::new(),
            small: Vec::new(),
            owed: 0,
        }
    }

    /// Everything was read.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::End && self.front.is_empty()
    }

    /// Fills `out` as far as possible. Reads nothing when [`Self::is_over`]; an error is the stream's end
    /// before its time.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        while out.remaining() > 0 {
            if self.copy(out) {
                continue;
            }
            if self.stage == Stage::End {
                break;
            }
            match self.poll_more(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if out.filled().len() > before => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Moves bytes that are there; false when there are none.
    fn copy(&mut self, out: &mut ReadBuf<'_>) -> bool {
        let from = if self.front.is_empty() {
            &mut self.data
        } else {
            &mut self.front
        };
        let count = from.len().min(out.remaining());
        out.put_slice(from.get(..count).unwrap_or_default());
        from.advance(count);
        if self.data.is_empty() && self.front.is_empty() && self.owed > 0 {
            // It fails when the stream has ended, and then nobody needs the window.
            let _ = self.from.flow_control().release_capacity(self.owed);
            self.owed = 0;
            if self.form == Form::Chunks {
                self.front = Bytes::from_static(b"\r\n");
            }
        }
        count > 0
    }

    /// Takes in what has come of the body; false when it broke off. The task is woken when more comes.
    pub(super) fn absorb(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            match self.from.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => self.put(data),
                Poll::Ready(Some(Err(_))) => return false,
                Poll::Ready(None) | Poll::Pending => return true,
            }
        }
    }

    fn put(&mut self, data: Bytes) {
        if data.len() < SMALL {
            self.small.extend_from_slice(&data);
            return;
        }
        self.end_small();
        self.waiting.push_back(data);
    }

    fn end_small(&mut self) {
        if !self.small.is_empty() {
            let small = std::mem::take(&mut self.small);
            self.waiting.push_back(small.into());
        }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.is_empty() {
            self.end_small();
        }
        if let Some(data) = self.waiting.pop_front() {
            self.take(data);
        } else if self.stage == Stage::Body {
            match ready!(self.from.poll_data(cx)) {
                Some(data) => self.take(data.map_err(broken)?),
                None => self.stage = Stage::Trailers,
            }
        } else {
            let trailers = ready!(self.from.poll_trailers(cx)).map_err(broken)?;
            self.stage = Stage::End;
            if self.form == Form::Chunks {
                self.front = end_of_chunks(trailers.as_ref()).into();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        self.owed = data.len();
        if self.form == Form::Chunks {
            self.front = format!("{:x}\r\n", data.len()).into();
        }
        self.data = data;
    }
}

fn end_of_chunks(trailers: Option<&HeaderMap>) -> Vec<u8> {
    let mut out = b"0\r\n".to_vec();
    for (name, value) in trailers.into_iter().flatten() {
        write_field(&mut out, name.as_str(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Appends `name: value` as one line.
pub(super) fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
