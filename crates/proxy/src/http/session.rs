//! One client connection: what lives as long as it does.

use std::mem;
use std::rc::Rc;
use std::time::Duration;

use roost_compress::Coding;
use roost_http1::{FieldRule, ForwardedFields, Origin, ResponsePolicy, Version};
use roost_replay::Rule;
use roost_wire::{Handler, Port};
use tokio::io::{AsyncRead, AsyncWrite};

use super::ending::Ending;
use super::intake::Intake;
use super::stamp::Stamp;
use super::stash::{self, Buffers};
use super::watchdog::{Activity, Watchdog};
use crate::buffer::Buffer;
use crate::fly_src::Line;
use crate::http2::Opening;
use crate::large_heads::Room;
use crate::replay::rules;
use crate::route::Target;
use crate::worker::Worker;

/// The state of one client connection. Its buffers are used again by each request.
pub(super) struct Session<'a, R, W> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) target: &'a Target,
    pub(super) reader: R,
    pub(super) writer: W,
    /// Bytes from the client.
    pub(super) input: Buffer,
    /// For the head of the present request, where that is large.
    pub(super) room: Option<Room>,
    /// Bytes for the client.
    pub(super) output: Vec<u8>,
    /// The request's head as the Machine gets it, with its body if that is small.
    pub(super) request: Vec<u8>,
    /// How much of `request` is the head.
    pub(super) head_len: usize,
    /// How long the head is without the lines of the present attempt.
    pub(super) base_len: usize,
    /// Bytes from the Machine.
    pub(super) answer: Buffer,
    /// Who calls, signed, as the latest request had it.
    pub(super) source: Option<Rc<Line>>,
    pub(super) stamp: Stamp,
    pub(super) activity: Activity,
    pub(super) watchdog: Watchdog,
    pub(super) manner: &'a Manner,
    /// The content coding that the latest request takes.
    pub(super) coding: Option<Coding>,
    /// There was a request.
    pub(super) served: bool,
}

/// What holds for all requests of a connection.
#[derive(Debug)]
pub(crate) struct Manner {
    /// What the client speaks; a request of HTTP/1.0 says so itself.
    pub(super) version: Version,
    /// The client may go over to HTTP/2 without TLS.
    pub(super) may_switch: bool,
    pub(super) forwarded: ForwardedFields,
    pub(super) policy: ResponsePolicy,
    /// Responses may be compressed.
    pub(super) compress: bool,
    /// For which sessions replays are remembered.
    pub(super) replay_rules: Vec<Rule>,
    pub(crate) times: Times,
}

/// The limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Without a byte in either direction.
    pub(crate) idle: Duration,
    /// From the first byte of a head to its last.
    pub(crate) head: Duration,
    /// How long an unused connection to a Machine is kept.
    pub(crate) pool: Duration,
}

/// What happens on the connection next.
pub(super) enum Next {
    /// Another request.
    Request,
    /// The end.
    End(Ending),
    /// No other request in HTTP/1.
    Http2(Opening),
}

/// What follows when the connection has had its last request in HTTP/1.
pub(super) enum Over {
    /// Its end.
    End(Ending),
    /// HTTP/2.
    Http2(Opening),
}

impl<'a, R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Session<'a, R, W> {
    /// A connection of which no more than `first` was read.
    pub(super) fn new(
        worker: &'a Rc<Worker>,
        target: &'a Target,
        manner: &'a Manner,
        reader: R,
        writer: W,
        first: Buffer,
    ) -> Self {
        let Buffers {
            input,
            output,
            request,
            answer,
        } = stash::take();
        let input = if first.is_empty() { input } else { first };
        Self {
            worker,
            target,
            reader,
            writer,
            input,
            room: None,
            output,
            request,
            head_len: 0,
            base_len: 0,
            answer,
            source: None,
            stamp: Stamp::new(&worker.config().region),
            activity: Activity::default(),
            watchdog: Watchdog::new(manner.times.idle.min(manner.times.head)),
            manner,
            coding: None,
            served: false,
        }
    }

    /// Serves the requests one after the other.
    pub(super) async fn run(mut self) -> Over {
        loop {
            let next = match self.intake().await {
                Intake::Request(facts) => self.exchange(facts).await,
                Intake::Answered => Next::Request,
                Intake::End(ending) => Next::End(ending),
                Intake::Http2(opening) => Next::Http2(opening),
            };
            let over = match self.unless_ending(next) {
                Next::Request => {
                    self.shrink();
                    continue;
                }
                Next::End(ending) => Over::End(ending),
                Next::Http2(opening) => Over::Http2(opening),
            };
            self.rest();
            return over;
        }
    }

    /// Gives back memory that most requests do not need.
    fn shrink(&mut self) {
        self.input.shrink();
        self.answer.shrink();
        for kept in [&mut self.request, &mut self.output] {
            kept.truncate(stash::MAX_SIZE);
            kept.shrink_to(stash::MAX_SIZE);
        }
        self.room = None;
    }

    /// Owns no buffer any more: of connections that wait for a request there may be very many.
    pub(super) fn rest(&mut self) {
        stash::give(Buffers {
            input: mem::take(&mut self.input),
            output: mem::take(&mut self.output),
            request: mem::take(&mut self.request),
            answer: mem::take(&mut self.answer),
        });
    }

    /// Has buffers again, if it rested.
    pub(super) fn rise(&mut self) {
        if self.input.capacity() == 0 {
            let buffers = stash::take();
            self.input = buffers.input;
            self.output = buffers.output;
            self.request = buffers.request;
            self.answer = buffers.answer;
        }
    }
}

impl Manner {
    /// The manner of a connection to `target` that begins in `version`.
    pub(crate) fn new(worker: &Worker, target: &Target, version: Version) -> Self {
        let config = worker.config();
        let port = &target.service_port;
        let options = port.http_options.as_deref();
        let seconds = |value: Option<u32>, default_ms| match value {
            Some(seconds @ 1..) => Duration::from_secs(seconds.into()),
            _ => Duration::from_millis(default_ms),
        };
        let settings = &config.settings;
        let times = Times {
            idle: seconds(
                options.and_then(|options| options.idle_timeout),
                settings.http_idle_ms,
            ),
            head: seconds(
                options.and_then(|options| options.headers_read_timeout),
                settings.head_timeout_ms,
            ),
            pool: Duration::from_millis(settings.idle_pool_ms),
        };
        let origin = Origin {
            client: target.client.ip(),
            called: target.local.ip(),
            port: target.port,
            region: &config.region,
            tls: port.handlers.contains(&Handler::Tls),
        };
        let policy = response_policy(port);
        Self {
            version,
            may_switch: version == Version::Http11 && !origin.tls,
            forwarded: ForwardedFields::new(origin),
            compress: options.is_none_or(|options| options.compress != Some(false))
                && !policy.pristine,
            policy,
            replay_rules: rules::of(port),
            times,
        }
    }
}

impl<R, W> Session<'_, R, W> {
    /// The end also when another request could follow, once the connection should not go on: one that was
    /// sent already would be taken up else, and wake a Machine.
    fn unless_ending(&self, next: Next) -> Next {
        match next {
            Next::Request if !self.worker.ends_at_once(self.target) => Next::Request,
            Next::Request if self.input.is_empty() => Next::End(Ending::Close),
            Next::Request => Next::End(Ending::Linger),
            other => other,
        }
    }
}

fn response_policy(port: &Port) -> ResponsePolicy {
    let Some(response) = port
        .http_options
        .as_deref()
        .map(|options| &options.response)
    else {
        return ResponsePolicy::default();
    };
    let rules = response.headers.iter().filter_map(|(name, values)| {
        FieldRule::new(name, values.iter().map(ToString::to_string).collect())
    });
    ResponsePolicy {
        pristine: response.pristine,
        rules: rules.collect(),
    }
}
