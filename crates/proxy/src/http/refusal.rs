//! What the proxy answers itself.

use std::borrow::Cow;
use std::pin::pin;
use std::task::Poll;

use roost_http1::{FinishedHead, Method, Reply, RequestFacts, RequestFraming, Version};
use roost_wire::Level;
use tokio::io::{AsyncRead, AsyncWrite};

use super::ending::Ending;
use super::session::Session;
use super::stamp::{SERVER, Stamp};
use crate::applog::Text;
use crate::client::send;

/// A response that comes from no Machine.
#[derive(Debug, Clone)]
pub(crate) struct Refusal<'a> {
    pub(super) status: u16,
    /// Fly's error code.
    pub(super) code: Option<Cow<'a, str>>,
    pub(super) message: Cow<'a, str>,
    pub(super) location: Option<&'a [u8]>,
}

impl<'a> Refusal<'a> {
    /// A refusal that is the client's matter: it has no code and is not logged.
    pub(crate) fn plain(status: u16, message: &str) -> Self {
        Self {
            status,
            code: None,
            message: message.to_owned().into(),
            location: None,
        }
    }

    /// A refusal that is the app's matter.
    pub(crate) fn coded(
        status: u16,
        code: impl Into<Cow<'a, str>>,
        message: impl Into<Cow<'a, str>>,
    ) -> Self {
        Self {
            status,
            code: Some(code.into()),
            message: message.into(),
            location: None,
        }
    }

    /// Appends the response to a request to `out`.
    pub(super) fn write(
        &self,
        stamp: &mut Stamp,
        facts: RequestFacts,
        close: bool,
        out: &mut Vec<u8>,
    ) {
        stamp.renew();
        let code = self.code.as_deref();
        let separator = if code.is_some() { " " } else { "" };
        let line = format!(
            "{}{separator}{} (request {})",
            code.unwrap_or_default(),
            self.message,
            stamp.id_text()
        );
        let reply = Reply {
            status: self.status,
            code,
            location: self.location,
            line: line.into(),
            close,
            version: facts.version,
            grpc: facts.grpc && facts.version == Version::Http2,
            server: SERVER,
            request_id: &stamp.id,
            date: &stamp.date,
        };
        reply.write(facts.method, out);
    }
}

/// What is assumed of a request that could not be read.
pub(super) const UNREAD: RequestFacts = RequestFacts {
    method: Method::Other,
    version: Version::Http11,
    framing: RequestFraming::None,
    keep_alive: false,
    upgrade: false,
    websocket: false,
    grpc: false,
    routed: false,
};

/// Nothing of the request follows its head.
pub(super) const fn has_no_body(facts: RequestFacts) -> bool {
    matches!(
        facts.framing,
        RequestFraming::None | RequestFraming::Length(0)
    )
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Session<'_, R, W> {
    /// Answers a request, which was read to its end if it is `whole`; gives how the connection ends, if it
    /// does.
    pub(super) async fn reply(
        &mut self,
        refusal: &Refusal<'_>,
        facts: RequestFacts,
        whole: bool,
    ) -> Option<Ending> {
        let persists = facts.keep_alive && whole && !self.worker.is_ending(self.target);
        self.say(refusal, facts, !persists);
        match self.write_output().await {
            Ok(()) if persists => None,
            Ok(()) => Some(Ending::Linger),
            Err(ending) => Some(ending),
        }
    }

    /// Writes the output, unless that takes longer than a connection may be idle: a client that does not
    /// read would hold it for ever.
    pub(super) async fn write_output(&mut self) -> Result<(), Ending> {
        let (watchdog, idle) = (&mut self.watchdog, self.manner.times.idle);
        let mut writing = pin!(send(&mut self.writer, &self.output));
        watchdog.begin();
        std::future::poll_fn(|cx| {
            if let Poll::Ready(written) = writing.as_mut().poll(cx) {
                return Poll::Ready(written.map_err(|_| Ending::Close));
            }
            let expired = watchdog.poll_expired(cx, idle, None);
            expired.map(|()| Err(Ending::Reset))
        })
        .await
    }

    /// Puts the response to a request into the output, which must hold nothing else.
    fn say(&mut self, refusal: &Refusal<'_>, facts: RequestFacts, close: bool) {
        self.output.clear();
        refusal.write(&mut self.stamp, facts, close, &mut self.output);
    }

    /// Writes the line about a coded refusal into the app's log. After [`Self::reply`].
    pub(super) fn log(&self, app: &str, code: &str, message: &str, machine: Option<&str>) {
        self.log_at(Level::Error, app, code, message, machine);
    }

    /// As [`Self::log`], at another level.
    pub(super) fn log_at(
        &self,
        level: Level,
        app: &str,
        code: &str,
        message: &str,
        machine: Option<&str>,
    ) {
        let text = || Text {
            message: message.into(),
            request: Some(self.describe().into()),
        };
        let shared = &self.worker.shared;
        shared.log_with(level, app, machine, Some(code), text);
    }

    /// The request in a line of the log: its id, method and address.
    fn describe(&self) -> String {
        let head = FinishedHead::new(&self.request);
        format!("{} {head}", self.stamp.id_text())
    }
}
