//! One request and its response.

use std::cell::Cell;
use std::io::ErrorKind;
use std::pin::pin;
use std::task::Poll;

use roost_http1::{ASK_TO_CLOSE, RequestFacts, RequestFraming, add_to_head};
use roost_wire::{LoadUnit, Name};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::download::{Delivered, Download, DownloadError};
use super::ending::Ending;
use super::pool::Place;
use super::refusal::{Refusal, has_no_body};
use super::session::{Next, Session};
use super::tunnel::{self, Way};
use super::upload::{Sent, Upload, UploadEnd, watch};
use crate::route::{ConnectError, RouteError, Slot};

/// Machines that are tried for one request.
const MAX_TRIES: usize = 3;
/// Bodies up to this size are sent with the head, when they are there already.
const MAX_JOINED: usize = 16 * 1024;

/// How the two directions ended together.
enum Outcome {
    Delivered(Delivered),
    Failed(DownloadError),
    ClientGone,
    BadBody(&'static str),
    Idle,
}

/// A connection to a Machine, and what is known about it.
struct Link {
    stream: TcpStream,
    /// It has carried other requests and may have ended since.
    used: bool,
}

/// Why no Machine took the request.
enum NoMachine {
    Route(RouteError),
    Connect(ConnectError),
    ClientGone,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Session<'_, R, W> {
    /// Takes one request to a Machine and its response to the client.
    pub(super) async fn exchange(&mut self, facts: RequestFacts) -> Next {
        self.watchdog.begin();
        self.head_len = self.request.len();
        let rest = self.join_body(facts.framing);
        let (slot, mut link) = match self.reach(facts).await {
            Ok(reached) => reached,
            Err(error) => return self.unreached(error, facts, rest).await,
        };
        self.sign();
        loop {
            let (sent, begun) = (Sent::default(), Cell::new(false));
            let outcome = self
                .drive(&slot, &mut link, facts, rest, &sent, &begun)
                .await;
            if link.used && may_repeat(&outcome, facts, &sent) {
                match slot.connect().await {
                    Ok(stream) => {
                        link = Link {
                            stream,
                            used: false,
                        };
                        continue;
                    }
                    Err(error) => {
                        return self.unreached(NoMachine::Connect(error), facts, rest).await;
                    }
                }
            }
            return self
                .finish(outcome, facts, slot, link, &sent, begun.get())
                .await;
        }
    }

    /// Moves a small body that arrived with its head behind it, and says what is left to send.
    fn join_body(&mut self, framing: RequestFraming) -> RequestFraming {
        let RequestFraming::Length(length) = framing else {
            return framing;
        };
        let body = self.input.first(length);
        if body.len() as u64 != length || body.len() > MAX_JOINED {
            return framing;
        }
        let count = body.len();
        self.request.extend_from_slice(body);
        self.input.consume(count);
        RequestFraming::None
    }

    /// Gets a Machine and a connection to it.
    async fn reach(&mut self, facts: RequestFacts) -> Result<(Slot, Link), NoMachine> {
        let mut excluded: Vec<Name> = Vec::new();
        let mut tries = 0;
        loop {
            tries += 1;
            let held = self.request.len() + self.input.len();
            let (worker, target) = (self.worker, self.target);
            let slot = self
                .unless_gone(worker.acquire(target, held, &excluded))
                .await?;
            let slot = slot.map_err(NoMachine::Route)?;
            let pooled = slot.unit() == LoadUnit::Requests && !facts.upgrade;
            if pooled && let Some(stream) = worker.pool.take(place(&slot)) {
                return Ok((slot, Link { stream, used: true }));
            }
            match self.unless_gone(slot.connect()).await? {
                Ok(stream) => {
                    if slot.unit() == LoadUnit::Connections && !facts.upgrade {
                        self.add_to_head(ASK_TO_CLOSE);
                    }
                    return Ok((
                        slot,
                        Link {
                            stream,
                            used: false,
                        },
                    ));
                }
                Err(error) if tries >= MAX_TRIES => return Err(NoMachine::Connect(error)),
                Err(error) if !error.refused => {
                    self.log(error.code, &error.message, Some(slot.machine()));
                    excluded.push(slot.machine().clone());
                }
                Err(_) => {}
            }
        }
    }

    /// Says who calls. Not before a Machine is there: the line is valid for a short time only, and waiting
    /// for a Machine takes longer.
    fn sign(&mut self) {
        let Some(caller) = &self.target.caller else {
            return;
        };
        let (shared, sources) = (&self.worker.shared, &self.worker.sources);
        sources.renew(shared, caller, &self.target.app.name, &mut self.source);
        if let Some(line) = self.source.clone() {
            self.add_to_head(&line.fields);
        }
    }

    fn add_to_head(&mut self, lines: &[u8]) {
        self.head_len = add_to_head(&mut self.request, self.head_len, lines);
    }

    /// Waits for `work` unless the client goes away.
    async fn unless_gone<T>(&mut self, work: impl Future<Output = T>) -> Result<T, NoMachine> {
        let mut work = pin!(work);
        let mut gone = pin!(watch(&mut self.reader, &mut self.input));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            gone.as_mut().poll(cx).map(|_| Err(NoMachine::ClientGone))
        })
        .await
    }

    /// Both directions at once, until the response is through or something ends them.
    async fn drive(
        &mut self,
        slot: &Slot,
        link: &mut Link,
        facts: RequestFacts,
        rest: RequestFraming,
        sent: &Sent,
        begun: &Cell<bool>,
    ) -> Outcome {
        self.answer.clear();
        self.output.clear();
        let (mut from_machine, mut to_machine) = link.stream.split();
        let upload = Upload {
            reader: &mut self.reader,
            input: &mut self.input,
            writer: &mut to_machine,
            head: &self.request,
            framing: rest,
            sent,
            activity: &self.activity,
        };
        let download = Download {
            reader: &mut from_machine,
            answer: &mut self.answer,
            writer: &mut self.writer,
            output: &mut self.output,
            facts,
            policy: &self.manner.policy,
            coding: self.coding,
            stamp: &mut self.stamp,
            sent,
            activity: &self.activity,
            begun,
            slot,
            worker: self.worker,
            target: self.target,
        };
        let (mut up, mut down) = (pin!(upload.run()), pin!(download.run()));
        let mut up_ended = false;
        let (watchdog, activity, idle) =
            (&mut self.watchdog, &self.activity, self.manner.times.idle);
        std::future::poll_fn(|cx| {
            // The head goes out before the answer is looked for. After that an answer comes first: a
            // client that closes after it has read it is no failure.
            if sent.head.get()
                && let Poll::Ready(result) = down.as_mut().poll(cx)
            {
                return Poll::Ready(Outcome::from(result));
            }
            if !up_ended && let Poll::Ready(end) = up.as_mut().poll(cx) {
                match end {
                    UploadEnd::ClientGone => return Poll::Ready(Outcome::ClientGone),
                    UploadEnd::BadBody(error) => return Poll::Ready(Outcome::BadBody(error.0)),
                    UploadEnd::MachineDeaf => up_ended = true,
                }
            }
            if let Poll::Ready(result) = down.as_mut().poll(cx) {
                return Poll::Ready(Outcome::from(result));
            }
            watchdog
                .poll_expired(cx, idle, Some(activity))
                .map(|()| Outcome::Idle)
        })
        .await
    }

    async fn finish(
        &mut self,
        outcome: Outcome,
        facts: RequestFacts,
        slot: Slot,
        link: Link,
        sent: &Sent,
        begun: bool,
    ) -> Next {
        match outcome {
            Outcome::Delivered(Delivered::Complete {
                machine_persists,
                client_closes,
            }) => {
                let clean = machine_persists && sent.all.get() && self.answer.is_empty();
                self.keep(slot, link, clean);
                match (client_closes, sent.all.get()) {
                    (false, _) => Next::Request,
                    (true, true) if self.input.is_empty() => Next::End(Ending::Close),
                    (true, _) => Next::End(Ending::Linger),
                }
            }
            Outcome::Delivered(Delivered::Upgraded) => self.tunnel(slot, link).await,
            Outcome::ClientGone | Outcome::Failed(DownloadError::ClientGone) => {
                Next::End(Ending::Close)
            }
            Outcome::Failed(error) => {
                if matches!(error, DownloadError::NoAnswer(ErrorKind::ConnectionReset))
                    && !link.used
                {
                    slot.broke("PC03");
                }
                self.fail(explain(&error), facts, slot, sent, begun).await
            }
            Outcome::Idle if !sent.all.get() && !begun => {
                drop((slot, link));
                let refusal = Refusal::plain(408, "the request body took too long");
                self.answer_error(&refusal, facts, begun, false).await
            }
            Outcome::Idle => {
                let refusal = Refusal::coded(502, "PU02", "the Machine did not answer in time");
                self.fail(refusal, facts, slot, sent, begun).await
            }
            Outcome::BadBody(reason) => {
                drop((slot, link));
                self.answer_error(&Refusal::plain(400, reason), facts, begun, false)
                    .await
            }
        }
    }

    /// Gives the Machine back, and its connection to the pool if that can carry another request.
    fn keep(&self, slot: Slot, link: Link, clean: bool) {
        let pooled = clean && slot.unit() == LoadUnit::Requests;
        let (machine, instance) = (slot.machine().clone(), slot.instance().clone());
        let internal_port = slot.internal_port();
        if slot.release() && pooled {
            let place = Place {
                machine: &machine,
                instance: &instance,
                internal_port,
            };
            self.worker
                .pool
                .put(place, link.stream, self.manner.times.pool);
        }
    }

    async fn tunnel(&mut self, slot: Slot, mut link: Link) -> Next {
        let (mut from_machine, mut to_machine) = link.stream.split();
        let up = Way {
            from: &mut self.reader,
            read: &mut self.input,
            to: &mut to_machine,
        };
        let down = Way {
            from: &mut from_machine,
            read: &mut self.answer,
            to: &mut self.writer,
        };
        let idle = self.manner.times.idle;
        let ending = tunnel::run(up, down, &self.activity, &mut self.watchdog, idle).await;
        drop(slot);
        Next::End(ending)
    }

    async fn unreached(
        &mut self,
        error: NoMachine,
        facts: RequestFacts,
        rest: RequestFraming,
    ) -> Next {
        let refusal = match error {
            NoMachine::ClientGone => return Next::End(Ending::Close),
            NoMachine::Route(error) => Refusal::coded(503, error.code.to_string(), error.message),
            NoMachine::Connect(error) => Refusal::coded(503, error.code, error.message),
        };
        let whole = has_no_body(RequestFacts {
            framing: rest,
            ..facts
        });
        let next = self.answer_error(&refusal, facts, false, whole).await;
        self.log_refusal(&refusal, None);
        next
    }

    async fn fail(
        &mut self,
        refusal: Refusal<'_>,
        facts: RequestFacts,
        slot: Slot,
        sent: &Sent,
        begun: bool,
    ) -> Next {
        let machine = slot.machine().clone();
        drop(slot);
        let next = self
            .answer_error(&refusal, facts, begun, sent.all.get())
            .await;
        self.log_refusal(&refusal, Some(&machine));
        next
    }

    /// Answers with `refusal`, unless a response has begun: then only a reset is left. `whole` says that
    /// the request was read to its end.
    async fn answer_error(
        &mut self,
        refusal: &Refusal<'_>,
        facts: RequestFacts,
        begun: bool,
        whole: bool,
    ) -> Next {
        if begun {
            return Next::End(Ending::Reset);
        }
        match self.reply(refusal, facts, whole).await {
            None => Next::Request,
            Some(ending) => Next::End(ending),
        }
    }

    fn log_refusal(&self, refusal: &Refusal<'_>, machine: Option<&str>) {
        if let Some(code) = refusal.code.as_deref() {
            self.log(code, &refusal.message, machine);
        }
    }
}

impl From<Result<Delivered, DownloadError>> for Outcome {
    fn from(result: Result<Delivered, DownloadError>) -> Self {
        match result {
            Ok(delivered) => Self::Delivered(delivered),
            Err(error) => Self::Failed(error),
        }
    }
}

fn place(slot: &Slot) -> Place<'_> {
    Place {
        machine: slot.machine(),
        instance: slot.instance(),
        internal_port: slot.internal_port(),
    }
}

/// Whether an unused connection that ended under a request swallowed nothing but a copy of it.
fn may_repeat(outcome: &Outcome, facts: RequestFacts, sent: &Sent) -> bool {
    let unanswered = matches!(outcome, Outcome::Failed(DownloadError::NoAnswer(_)));
    unanswered && facts.method.may_repeat() && !sent.streamed.get()
}

fn explain(error: &DownloadError) -> Refusal<'static> {
    match error {
        DownloadError::NoAnswer(ErrorKind::ConnectionReset) => Refusal::coded(
            502,
            "PC03",
            "the app reset the connection before it answered",
        ),
        DownloadError::NoAnswer(_) => Refusal::coded(
            502,
            "PU02",
            "the app closed the connection before it answered",
        ),
        DownloadError::Bad(reason) => {
            Refusal::coded(502, "PU02", format!("a bad response: {reason}"))
        }
        DownloadError::Replay => Refusal::coded(
            502,
            "PA03",
            "the app asked for a replay, which is not supported yet",
        ),
        DownloadError::ClientGone => Refusal::coded(502, "PU02", "the client went away"),
    }
}
