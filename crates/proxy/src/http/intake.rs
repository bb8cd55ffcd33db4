//! Waits for a request and reads its head.

use std::task::Poll;

use roost_http1::{
    FieldSlots, HeadScanner, HeadSpan, RequestError, RequestFacts, RequestHead, Version,
    write_https_location,
};
use roost_wire::Handler;
use tokio::io::{AsyncRead, AsyncWrite};

use super::ending::Ending;
use super::refusal::{Refusal, UNREAD, has_no_body};
use super::session::Session;
use crate::http2::{self, Opening};
use crate::large_heads::SMALL;

/// What came from the client.
pub(super) enum Intake {
    /// A valid request. Its head for the Machine is in `request`; its body follows in `input`.
    Request(RequestFacts),
    /// A request that the proxy answered itself.
    Answered,
    /// No further request.
    End(Ending),
    /// The client goes on in HTTP/2.
    Http2(Opening),
}

/// What one head turned out to be.
enum Head {
    Forward(RequestFacts),
    Redirect(RequestFacts, Vec<u8>),
    /// It is for another app than the connection's first request.
    Misdirected,
    /// It is to be answered in HTTP/2, where it has the form of these frames.
    Switch(Vec<u8>),
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Session<'_, R, W> {
    /// Waits for the next request on this connection.
    pub(super) async fn intake(&mut self) -> Intake {
        let mut scanner = HeadScanner::default();
        self.watchdog.begin();
        loop {
            let waiting = self.input.is_empty();
            let whole = scanner.scan_request(self.input.unread());
            if let Ok(found) = whole
                && !self.has_room(found)
            {
                let line = "there is no room now for a request head of more than 8 KiB";
                return self.refuse_unread(Refusal::plain(431, line)).await;
            }
            let found = match whole {
                Ok(Some(span)) => self.read_head(span.start, span.end).map(Some),
                other => other.map(|_| None),
            };
            match found {
                Ok(Some(Head::Forward(facts))) => return Intake::Request(facts),
                Ok(Some(Head::Redirect(facts, location))) => {
                    return self.redirect(facts, &location).await;
                }
                Ok(Some(Head::Misdirected)) => {
                    let line = "this connection is for another host";
                    return self.refuse_unread(Refusal::plain(421, line)).await;
                }
                Ok(Some(Head::Switch(frames))) => return self.switch(frames).await,
                Ok(None) => {}
                Err(RequestError::Version) if self.speaks_http2() => {
                    return Intake::Http2(Opening::after(self.input.unread()));
                }
                Err(error) => return self.refuse_head(error).await,
            }
            let limit = if waiting {
                self.manner.times.idle
            } else {
                self.manner.times.head
            };
            let read = std::future::poll_fn(|cx| {
                if waiting {
                    self.rise();
                }
                if let Poll::Ready(read) = self.input.poll_fill(&mut self.reader, cx) {
                    return Poll::Ready(Some(read));
                }
                if waiting && self.worker.ends_at_once(self.target) {
                    return Poll::Ready(None);
                }
                if waiting {
                    self.rest();
                }
                self.watchdog.poll_expired(cx, limit, None).map(|()| None)
            });
            match read.await {
                Some(Ok(1..)) if waiting => self.watchdog.begin(),
                Some(Ok(1..)) => {}
                Some(Ok(0) | Err(_)) => return Intake::End(Ending::Close),
                None if waiting => return Intake::End(Ending::Close),
                None => {
                    let line = "the request head took too long";
                    return self.refuse_unread(Refusal::plain(408, line)).await;
                }
            }
        }
    }

    /// Whether there is room for a head that was found, or for what has come of one.
    fn has_room(&mut self, found: Option<HeadSpan>) -> bool {
        let length = found.map_or(self.input.len(), |span| span.end - span.start);
        if length > SMALL && self.room.is_none() {
            let (worker, target) = (self.worker, self.target);
            let settings = &worker.config().settings;
            let (network, caller) = (&target.network, target.peer);
            self.room = worker
                .shared
                .room_for_head(settings, network, caller, target.public);
        }
        length <= SMALL || self.room.is_some()
    }

    /// Reads the head at `start..end` of the input, and takes it out.
    fn read_head(&mut self, start: usize, end: usize) -> Result<Head, RequestError> {
        let mut slots = FieldSlots::new();
        let bytes = self.input.unread().get(start..end).unwrap_or_default();
        let mut head = RequestHead::parse(bytes, &mut slots)?;
        if self.manner.version == Version::Http2 {
            head.facts.version = Version::Http2;
            head.facts.keep_alive = false;
        }
        let facts = head.facts;
        if !self.target.is_meant_by(head.called_name()) {
            return Ok(Head::Misdirected);
        }
        let port = &self.target.service_port;
        let mut location = Vec::new();
        if port.force_https
            && !port.handlers.contains(&Handler::Tls)
            && write_https_location(&head, self.https_port(), &mut location)
        {
            self.input.consume(end);
            return Ok(Head::Redirect(facts, location));
        }
        if self.manner.may_switch && head.asks_for_h2c() {
            let frames = http2::request_frames(&head);
            self.input.consume(end);
            return Ok(Head::Switch(frames));
        }
        let codes = self.manner.compress && facts.version != Version::Http10;
        self.coding = codes
            .then(|| roost_compress::choose(head.accepted_codings()))
            .flatten();
        self.request.clear();
        self.manner
            .forwarded
            .write_request(&head, &mut self.request);
        self.input.consume(end);
        self.served = true;
        Ok(Head::Forward(facts))
    }

    /// Whether the client began with the preface of HTTP/2.
    fn speaks_http2(&self) -> bool {
        !self.served && self.manner.may_switch && http2::begins(self.input.unread())
    }

    /// Goes on in HTTP/2, with the request of these frames as its first one.
    async fn switch(&mut self, frames: Vec<u8>) -> Intake {
        self.output.clear();
        self.output.extend_from_slice(http2::SWITCHING);
        match self.write_output().await {
            Ok(()) => Intake::Http2(Opening::with(self.input.unread(), frames)),
            Err(ending) => Intake::End(ending),
        }
    }

    /// Where the app speaks HTTP inside TLS. If nowhere, where others mostly do.
    fn https_port(&self) -> u16 {
        let table = self.worker.shared.table();
        table.https_port(&self.target.app.name).unwrap_or(443)
    }

    async fn redirect(&mut self, facts: RequestFacts, location: &[u8]) -> Intake {
        let mut refusal = Refusal::plain(301, "this service is called by https");
        refusal.location = Some(location);
        match self.reply(&refusal, facts, has_no_body(facts)).await {
            None => Intake::Answered,
            Some(ending) => Intake::End(ending),
        }
    }

    async fn refuse_head(&mut self, error: RequestError) -> Intake {
        self.refuse_unread(Refusal::plain(error.status(), &error.to_string()))
            .await
    }

    /// Refuses a request that could not be read: what follows it cannot be either.
    async fn refuse_unread(&mut self, refusal: Refusal<'_>) -> Intake {
        let ending = self.reply(&refusal, UNREAD, false).await;
        Intake::End(ending.unwrap_or(Ending::Linger))
    }
}
