//! The response's way to the client.

use std::io;

use roost_compress::{Coding, LEAST_LENGTH, is_compressible};
use roost_http1::{
    ChunkedScanner, ClientSide, FieldSlots, HeadScanner, RequestFacts, ResponseError,
    ResponseFraming, ResponseHead, ResponsePolicy, Version, write_chunk, write_trailers,
};
use roost_replay::{MAX_JSON, Order};
use tokio::io::{AsyncRead, AsyncWrite};

use super::coded::Coder;
use super::stamp::{SERVER, Stamp};
use super::upload::Sent;
use super::watchdog::Activity;
use crate::buffer::Buffer;
use crate::client::send;
use crate::http2::Unsendable;
use crate::route::{Slot, Target};
use crate::worker::Worker;

/// Bytes of a body that are copied behind the head, to leave in one write with it.
const MAX_JOINED: usize = 32 * 1024;
/// Interim responses before the final one.
const MAX_INTERIM: usize = 64;

/// A response that went through.
#[derive(Debug, Clone, Copy)]
pub(super) enum Delivered {
    /// Complete.
    Complete {
        /// The Machine keeps its connection open.
        machine_persists: bool,
        /// The client was told that its connection is closed now.
        client_closes: bool,
    },
    /// Both go on with another protocol.
    Upgraded,
}

/// A response that asks for the request to be sent elsewhere.
#[derive(Debug)]
pub(super) struct Replay {
    /// What its head says.
    pub(super) order: Order,
    /// Its body, when that says it; `None` also where it is too large.
    pub(super) body: Option<Vec<u8>>,
    /// The body says it, and was too large to be read.
    pub(super) too_large: bool,
    /// It was read to its end, and the Machine keeps its connection open.
    pub(super) machine_persists: bool,
}

/// Why a response did not go through.
#[derive(Debug)]
pub(super) enum DownloadError {
    /// The Machine closed or reset the connection before the first byte of its response.
    NoAnswer(io::ErrorKind),
    /// The Machine's response is invalid or broke off.
    Bad(&'static str),
    /// The app asks for a replay.
    Replay(Box<Replay>),
    /// The client does not take more.
    ClientGone,
}

/// One response on its way.
pub(super) struct Download<'a, M, W> {
    pub(super) reader: &'a mut M,
    pub(super) answer: &'a mut Buffer,
    pub(super) writer: &'a mut W,
    /// Bytes for the client, not sent yet.
    pub(super) output: &'a mut Vec<u8>,
    pub(super) facts: RequestFacts,
    pub(super) policy: &'a ResponsePolicy,
    /// The content coding that the client takes.
    pub(super) coding: Option<Coding>,
    pub(super) stamp: &'a mut Stamp,
    pub(super) sent: &'a Sent,
    pub(super) activity: &'a Activity,
    /// Told as soon as the Machine has answered.
    pub(super) slot: &'a Slot,
    pub(super) worker: &'a Worker,
    pub(super) target: &'a Target,
    /// Set once bytes of the final response may have left.
    pub(super) begun: &'a std::cell::Cell<bool>,
}

struct Head {
    interim: bool,
    status: u16,
    framing: ResponseFraming,
    /// What the body is put into on the way.
    coder: Option<Coder>,
    machine_persists: bool,
    client_closes: bool,
    /// It asks for a replay, by its body if so.
    replay: Option<(Order, bool)>,
}

pub(super) const CUT_SHORT: DownloadError =
    DownloadError::Bad("the Machine closed in the middle of its response");

impl<M: AsyncRead + Unpin, W: AsyncWrite + Unpin> Download<'_, M, W> {
    /// Takes the response through.
    pub(super) async fn run(mut self) -> Result<Delivered, DownloadError> {
        let mut head = self.head().await?;
        let mut interim = 0;
        while head.interim {
            interim += 1;
            if interim > MAX_INTERIM {
                return Err(DownloadError::Bad("too many interim responses"));
            }
            self.flush().await?;
            head = self.head().await?;
        }
        // Also one that says where else to go.
        self.slot.answered();
        if let Some((order, by_body)) = head.replay.take() {
            let replay = self.replay(order, by_body, &head).await?;
            return Err(DownloadError::Replay(Box::new(replay)));
        }
        self.begun.set(true);
        if head.status == 101 {
            self.flush().await?;
            return Ok(Delivered::Upgraded);
        }
        self.body(head.framing, head.coder).await?;
        self.flush().await?;
        let Head {
            machine_persists,
            client_closes,
            ..
        } = head;
        Ok(Delivered::Complete {
            machine_persists,
            client_closes,
        })
    }

    /// Takes the body through, in a form that the client reads.
    async fn body(
        &mut self,
        framing: ResponseFraming,
        coder: Option<Coder>,
    ) -> Result<(), DownloadError> {
        if let Some(coder) = coder {
            return self.coded(framing, coder).await;
        }
        match (framing, self.facts.version) {
            (ResponseFraming::None, _) => {}
            (ResponseFraming::Length(length), _) => self.length(length).await?,
            (ResponseFraming::Chunked, Version::Http11 | Version::Http2) => self.chunks().await?,
            (ResponseFraming::Chunked, Version::Http10) => self.chunks_as_data().await?,
            (ResponseFraming::UntilClose, Version::Http11 | Version::Http2) => {
                self.data_as_chunks().await?;
            }
            (ResponseFraming::UntilClose, Version::Http10) => self.until_close().await?,
        }
        Ok(())
    }

    /// Reads what is left of a response that asks for a replay. Its body is only waited for if it says where
    /// to.
    async fn replay(
        &mut self,
        order: Order,
        by_body: bool,
        head: &Head,
    ) -> Result<Replay, DownloadError> {
        let mut body = None;
        let whole = if by_body {
            body = self.collect(head.framing).await?;
            body.is_some()
        } else if let ResponseFraming::Length(length) = head.framing {
            let whole = self.answer.len() as u64 == length;
            self.answer.clear();
            whole
        } else {
            head.framing == ResponseFraming::None
        };
        Ok(Replay {
            order,
            too_large: by_body && body.is_none(),
            body,
            machine_persists: head.machine_persists && whole && head.status != 101,
        })
    }

    /// A whole body, unless it is larger than an order may be.
    async fn collect(
        &mut self,
        framing: ResponseFraming,
    ) -> Result<Option<Vec<u8>>, DownloadError> {
        let mut body = Vec::new();
        let mut chunks = ChunkedScanner::default();
        loop {
            let done = match framing {
                ResponseFraming::None => true,
                ResponseFraming::Length(length) => {
                    let left = length - body.len() as u64;
                    let bytes = self.answer.first(left);
                    let count = bytes.len();
                    body.extend_from_slice(bytes);
                    self.answer.consume(count);
                    body.len() as u64 == length
                }
                ResponseFraming::Chunked => {
                    let scanned = chunks.scan(self.answer.unread(), Some(&mut body));
                    let progress = scanned.map_err(|error| DownloadError::Bad(error.0))?;
                    self.answer.consume(progress.consumed);
                    progress.done
                }
                ResponseFraming::UntilClose => {
                    body.extend_from_slice(self.answer.unread());
                    self.answer.clear();
                    false
                }
            };
            if body.len() > MAX_JSON {
                return Ok(None);
            }
            if done {
                return Ok(Some(body));
            }
            match (framing, self.more_or_end().await?) {
                (_, true) => {}
                (ResponseFraming::UntilClose, false) => return Ok(Some(body)),
                (_, false) => return Err(CUT_SHORT),
            }
        }
    }

    /// Reads one head and writes it for the client into the output.
    async fn head(&mut self) -> Result<Head, DownloadError> {
        let mut scanner = HeadScanner::default();
        let span = loop {
            if !self.answer.is_empty()
                && let Some(span) = scanner.scan_response(self.answer.unread()).map_err(bad)?
            {
                break span;
            }
            let nothing_yet = self.answer.is_empty();
            match self.answer.fill(self.reader).await {
                Ok(1..) => self.activity.note(),
                Ok(0) if nothing_yet => {
                    return Err(DownloadError::NoAnswer(io::ErrorKind::UnexpectedEof));
                }
                Err(error) if nothing_yet => return Err(DownloadError::NoAnswer(error.kind())),
                Ok(0) | Err(_) => return Err(CUT_SHORT),
            }
        };
        let head = self.rewrite(span.end)?;
        self.answer.consume(span.end);
        Ok(head)
    }

    fn rewrite(&mut self, end: usize) -> Result<Head, DownloadError> {
        let mut slots = FieldSlots::new();
        let bytes = self.answer.first(end as u64);
        let head = ResponseHead::parse(bytes, &mut slots, self.facts.method).map_err(bad)?;
        let interim = head.is_interim();
        if head.status == 101 && !self.facts.upgrade {
            return Err(DownloadError::Bad("a 101 response that nobody asked for"));
        }
        let old = self.facts.version == Version::Http10;
        let unframed = matches!(
            head.framing,
            ResponseFraming::Chunked | ResponseFraming::UntilClose
        );
        let replay = (head.replay && !interim).then(|| order(&head));
        let coder = self
            .coding
            .filter(|_| replay.is_none())
            .filter(|_| head.codable(LEAST_LENGTH).is_some_and(is_compressible))
            .and_then(|coding| Coder::new(&self.worker.shared, &self.target.app, coding));
        let ending = self.worker.is_ending(self.target);
        let client_closes =
            ending || !self.facts.keep_alive || !self.sent.all.get() || (old && unframed);
        self.stamp.renew();
        let side = ClientSide {
            version: self.facts.version,
            close: client_closes,
            server: SERVER,
            request_id: &self.stamp.id,
            date: &self.stamp.date,
            coding: coder.as_ref().map(Coder::token),
        };
        if !(interim && old) && replay.is_none() {
            self.policy.write_response(&head, &side, self.output);
        }
        Ok(Head {
            interim,
            status: head.status,
            framing: head.framing,
            coder,
            machine_persists: head.keep_alive && head.framing != ResponseFraming::UntilClose,
            client_closes,
            replay,
        })
    }

    async fn length(&mut self, mut left: u64) -> Result<(), DownloadError> {
        loop {
            let count = self.answer.first(left).len();
            self.pass(count, false).await?;
            self.answer.consume(count);
            left -= count as u64;
            if left == 0 {
                return Ok(());
            }
            self.flush().await?;
            self.more().await?;
        }
    }

    async fn chunks(&mut self) -> Result<(), DownloadError> {
        let mut chunks = ChunkedScanner::default();
        loop {
            let scanned = chunks.scan(self.answer.unread(), None);
            let progress = scanned.map_err(|error| DownloadError::Bad(error.0))?;
            self.pass(progress.forward, progress.done).await?;
            self.answer.consume(progress.consumed);
            if progress.done {
                let end = write_trailers(chunks.trailers(), self.output);
                return end.map_err(|error| DownloadError::Bad(error.0));
            }
            self.flush().await?;
            self.more().await?;
        }
    }

    async fn chunks_as_data(&mut self) -> Result<(), DownloadError> {
        let mut chunks = ChunkedScanner::default();
        loop {
            let scanned = chunks.scan(self.answer.unread(), Some(self.output));
            let progress = scanned.map_err(|error| DownloadError::Bad(error.0))?;
            self.answer.consume(progress.consumed);
            self.flush().await?;
            if progress.done {
                return Ok(());
            }
            self.more().await?;
        }
    }

    async fn data_as_chunks(&mut self) -> Result<(), DownloadError> {
        loop {
            write_chunk(self.answer.unread(), self.output);
            self.answer.clear();
            self.flush().await?;
            if !self.more_or_end().await? {
                self.output.extend_from_slice(b"0\r\n\r\n");
                return Ok(());
            }
        }
    }

    async fn until_close(&mut self) -> Result<(), DownloadError> {
        loop {
            self.pass(self.answer.len(), false).await?;
            self.answer.clear();
            self.flush().await?;
            if !self.more_or_end().await? {
                return Ok(());
            }
        }
    }

    /// Passes the first `count` bytes of the answer on: as they are, unless they can leave in one write
    /// with the head before them or the end behind them.
    async fn pass(&mut self, count: usize, last: bool) -> Result<(), DownloadError> {
        let joins = last || !self.output.is_empty();
        if joins && self.output.len() + count <= MAX_JOINED {
            self.output
                .extend_from_slice(self.answer.first(count as u64));
            return Ok(());
        }
        self.flush().await?;
        let sent = send(self.writer, self.answer.first(count as u64)).await;
        sent.map_err(|error| self.unsent(&error))?;
        self.activity.note();
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> Result<(), DownloadError> {
        if !self.output.is_empty() {
            let sent = send(self.writer, self.output).await;
            sent.map_err(|error| self.unsent(&error))?;
            self.output.clear();
            self.activity.note();
        }
        Ok(())
    }

    /// Why bytes did not leave: a head that the client's version cannot have is the Machine's matter, and
    /// nothing of it was sent.
    fn unsent(&self, error: &io::Error) -> DownloadError {
        match Unsendable::reason(error) {
            Some(reason) => {
                self.begun.set(false);
                DownloadError::Bad(reason)
            }
            None => DownloadError::ClientGone,
        }
    }

    async fn more(&mut self) -> Result<(), DownloadError> {
        if self.more_or_end().await? {
            Ok(())
        } else {
            Err(CUT_SHORT)
        }
    }

    pub(super) async fn more_or_end(&mut self) -> Result<bool, DownloadError> {
        let count = self.answer.fill(self.reader).await.map_err(|_| CUT_SHORT)?;
        self.activity.note();
        Ok(count > 0)
    }
}

/// What a head says of a replay, and whether the body says it.
fn order(head: &ResponseHead<'_, '_>) -> (Order, bool) {
    let mut order = Order::default();
    for (name, value) in head.replay_fields() {
        order.note(name, value);
    }
    (order, head.replays_by_body())
}

fn bad(error: ResponseError) -> DownloadError {
    DownloadError::Bad(error.0)
}
