//! One request and its response.

use std::cell::Cell;
use std::io::ErrorKind;
use std::mem;
use std::pin::pin;
use std::task::Poll;

use roost_core::Request;
use roost_http1::{ASK_TO_CLOSE, RequestFacts, RequestFraming, add_to_head, take_from_head};
use roost_wire::{LoadUnit, Name};
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::Body;
use super::download::{Delivered, Download, DownloadError};
use super::ending::Ending;
use super::link::{Link, MachineSide, NoLink, Wish};
use super::refusal::Refusal;
use super::session::{Next, Session};
use super::tunnel::{self, Way};
use super::upload::{Sent, Upload, UploadEnd, watch};
use crate::http2::{Half, absorbing};
use crate::replay::keeper::Keeper;
use crate::replay::{Aim, Plan};
use crate::route::{RouteError, Slot};

/// Machines that are tried for one request.
const MAX_TRIES: usize = 3;
/// Bodies up to this size are sent with the head, when they are there already.
const MAX_JOINED: usize = 16 * 1024;
/// What is read of a client that waits for a Machine, so that it is seen to go: of its body, and behind it.
const BODY_AHEAD: u64 = 14 * 1024;
const AHEAD: u64 = 2 * 1024;

/// How the two directions ended together.
enum Outcome {
    Delivered(Delivered),
    Failed(DownloadError),
    ClientGone,
    BadBody(&'static str),
    Idle,
}

/// One attempt on its way.
struct Trip<'t> {
    slot: &'t Slot,
    facts: RequestFacts,
    body: &'t mut Body,
    sent: &'t Sent,
    begun: &'t Cell<bool>,
}

/// An attempt whose response is no replay.
struct Ended {
    slot: Slot,
    link: Link,
    sent: Sent,
    /// Bytes of the response may have left.
    begun: bool,
    /// Whose Machine it was.
    app: Name,
}

/// Why no Machine took the request.
pub(super) enum NoMachine {
    /// None was to be had; `again` says that others were before, and could not be reached.
    Route {
        error: RouteError,
        again: bool,
    },
    /// It was not reached, or cannot take the request.
    Link(NoLink, Name),
    /// The time of a replay was over.
    Late,
    ClientGone,
}

/// What follows an attempt.
pub(super) enum Step {
    /// Another attempt.
    Again,
    /// The request is done with.
    Done(Next),
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Session<'_, R, W> {
    /// Takes one request to a Machine and its response to the client.
    pub(super) async fn exchange(&mut self, facts: RequestFacts) -> Next {
        self.watchdog.begin();
        self.head_len = self.request.len();
        self.base_len = self.head_len;
        let mut plan = Plan::new(self.ground(), &self.request, facts.routed);
        let rest = self.join_body(facts.framing);
        let worker = self.worker;
        let ruled = !self.manner.replay_rules.is_empty();
        let mut body = Body::new(rest, || {
            let limit = worker.config().settings.replay_body_bytes;
            Keeper::new(&worker.shared, &self.target.app, limit, ruled)
        });
        loop {
            if let Step::Done(next) = self.attempt(facts, &mut plan, &mut body).await {
                return next;
            }
        }
    }

    /// Sends the request to one Machine.
    async fn attempt(&mut self, facts: RequestFacts, plan: &mut Plan, body: &mut Body) -> Step {
        let (slot, mut link) = match self.reach_in_time(facts, plan, body).await {
            Ok(reached) => reached,
            Err(error) => return self.unreached(error, facts, plan, body).await,
        };
        plan.note_machine(slot.machine());
        if !plan.lines.is_empty() {
            self.add_to_head(&plan.lines);
        }
        if !plan.foreign {
            self.sign();
        }
        let was_lost = body.is_lost();
        let mut tries = 1;
        loop {
            let (sent, begun) = (Sent::default(), Cell::new(false));
            let trip = Trip {
                slot: &slot,
                facts,
                body,
                sent: &sent,
                begun: &begun,
            };
            let outcome = self.drive(&mut link, trip).await;
            if let Some(why) = body.lost().filter(|_| !was_lost) {
                self.log_lost(why, &plan.aim.app.name, slot.machine());
            }
            let unanswered = is_unanswered(&outcome) && !body.is_lost() && tries < MAX_TRIES;
            if unanswered && link.may_send_again(facts.method) {
                tries += 1;
                drop(link);
                link = match Link::open(self.worker, &slot, self.wish(facts, true)).await {
                    Ok(link) => link,
                    Err(error) => {
                        let error = NoMachine::Link(error, slot.machine().clone());
                        return self.unreached(error, facts, plan, body).await;
                    }
                };
                continue;
            }
            if let Outcome::Failed(DownloadError::Replay(replay)) = outcome {
                let machine = slot.record().clone();
                let clean = replay.machine_persists && sent.all.get() && self.answer.is_empty();
                link.keep(self.worker, slot, clean, self.manner.times.pool);
                return self.resend(*replay, &machine, facts, plan, body).await;
            }
            let app = plan.aim.app.name.clone();
            let ended = Ended {
                slot,
                link,
                sent,
                begun: begun.get(),
                app,
            };
            return Step::Done(self.finish(outcome, facts, ended).await);
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

    /// Gets a Machine and a connection to it, in the time that a replay gives.
    async fn reach_in_time(
        &mut self,
        facts: RequestFacts,
        plan: &Plan,
        body: &Body,
    ) -> Result<(Slot, Link), NoMachine> {
        let reaching = self.reach(facts, &plan.aim, body);
        match plan.deadline {
            None => reaching.await,
            Some(deadline) => {
                let reached = tokio::time::timeout_at(deadline, reaching).await;
                reached.unwrap_or(Err(NoMachine::Late))
            }
        }
    }

    async fn reach(
        &mut self,
        facts: RequestFacts,
        aim: &Aim,
        body: &Body,
    ) -> Result<(Slot, Link), NoMachine> {
        let mut excluded: Vec<Name> = aim.exclude.iter().cloned().collect();
        let mut tries = 0;
        loop {
            tries += 1;
            let (worker, target) = (self.worker, self.target);
            let ahead = self.ahead(body);
            let request = Request {
                port: target.port.into(),
                exclude: &excluded,
                wish: aim.wish.as_deref(),
                held_bytes: self.request.len() + body.kept().len() + ahead,
            };
            let slot = self
                .unless_gone(ahead, worker.acquire(&aim.app, true, request))
                .await?;
            let again = tries > 1;
            let slot = slot.map_err(|error| NoMachine::Route { error, again })?;
            let opening = Link::open(worker, &slot, self.wish(facts, false));
            match self.unless_gone(ahead, opening).await? {
                Ok(link) => {
                    if slot.unit() == LoadUnit::Connections && !facts.upgrade {
                        self.add_to_head(ASK_TO_CLOSE);
                    }
                    return Ok((slot, link));
                }
                Err(NoLink::Connect(error)) if tries < MAX_TRIES => {
                    if !error.refused {
                        let app = &aim.app.name;
                        self.log(app, error.code, &error.message, Some(slot.machine()));
                        excluded.push(slot.machine().clone());
                    }
                }
                Err(error) => return Err(NoMachine::Link(error, slot.machine().clone())),
            }
        }
    }

    /// How much of what the client sends is held at most while it waits. All of it counts from the beginning.
    fn ahead(&self, body: &Body) -> usize {
        let more = body.left().min(BODY_AHEAD) + AHEAD;
        self.input
            .len()
            .max(usize::try_from(more).unwrap_or(usize::MAX))
    }

    fn wish(&self, facts: RequestFacts, fresh: bool) -> Wish {
        Wish {
            facts,
            port: self.target.port,
            fresh,
            rest: self.manner.times.pool,
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

    /// Takes the lines of an attempt out of the head.
    pub(super) fn take_lines(&mut self) {
        self.head_len = take_from_head(&mut self.request, self.base_len, self.head_len);
    }

    /// Waits for `work` unless the client goes away, of which no more than `ahead` bytes are held meanwhile.
    async fn unless_gone<T>(
        &mut self,
        ahead: usize,
        work: impl Future<Output = T>,
    ) -> Result<T, NoMachine> {
        let mut work = pin!(work);
        let mut gone = pin!(watch(&mut self.reader, &mut self.input, ahead));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            gone.as_mut().poll(cx).map(|_| Err(NoMachine::ClientGone))
        })
        .await
    }

    async fn drive(&mut self, link: &mut Link, trip: Trip<'_>) -> Outcome {
        match &mut link.stream {
            MachineSide::Http1(stream) => {
                let (from, to) = stream.split();
                self.drive_over(from, to, trip).await
            }
            MachineSide::Http2(stream) => {
                let (from, to) = (Half::new(stream), Half::new(stream));
                absorbing(stream, self.drive_over(from, to, trip)).await
            }
        }
    }

    /// Both directions at once, until the response is through or something ends them.
    async fn drive_over(
        &mut self,
        mut from_machine: impl AsyncRead + Unpin,
        mut to_machine: impl AsyncWrite + Unpin,
        trip: Trip<'_>,
    ) -> Outcome {
        let Trip {
            slot,
            facts,
            body,
            sent,
            begun,
        } = trip;
        self.answer.clear();
        self.output.clear();
        let upload = Upload {
            reader: &mut self.reader,
            input: &mut self.input,
            writer: &mut to_machine,
            head: &self.request,
            body,
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

    async fn finish(&mut self, outcome: Outcome, facts: RequestFacts, ended: Ended) -> Next {
        let Ended { sent, begun, .. } = &ended;
        let (whole, begun) = (sent.all.get(), *begun);
        match outcome {
            Outcome::Delivered(Delivered::Complete {
                machine_persists,
                client_closes,
            }) => {
                let clean = machine_persists && whole && self.answer.is_empty();
                let (slot, rest) = (ended.slot, self.manner.times.pool);
                ended.link.keep(self.worker, slot, clean, rest);
                match (client_closes, whole) {
                    (false, _) => Next::Request,
                    (true, true) if self.input.is_empty() => Next::End(Ending::Close),
                    (true, _) => Next::End(Ending::Linger),
                }
            }
            Outcome::Delivered(Delivered::Upgraded) => self.tunnel(ended.slot, ended.link).await,
            Outcome::ClientGone | Outcome::Failed(DownloadError::ClientGone) => {
                Next::End(Ending::Close)
            }
            Outcome::Failed(error) => {
                if matches!(error, DownloadError::NoAnswer(ErrorKind::ConnectionReset))
                    && !ended.link.used
                {
                    ended.slot.broke("PC03");
                }
                self.fail(explain(&error), facts, ended).await
            }
            Outcome::Idle if !whole && !begun => {
                drop(ended);
                let refusal = Refusal::plain(408, "the request body took too long");
                self.answer_error(&refusal, facts, begun, false).await
            }
            Outcome::Idle => {
                let refusal = Refusal::coded(502, "PU02", "the Machine did not answer in time");
                self.fail(refusal, facts, ended).await
            }
            Outcome::BadBody(reason) => {
                drop(ended);
                self.answer_error(&Refusal::plain(400, reason), facts, begun, false)
                    .await
            }
        }
    }

    async fn tunnel(&mut self, slot: Slot, mut link: Link) -> Next {
        let ending = match &mut link.stream {
            MachineSide::Http1(stream) => {
                let (from, to) = stream.split();
                self.tunnel_over(from, to).await
            }
            MachineSide::Http2(stream) => {
                let (from, to) = (Half::new(stream), Half::new(stream));
                absorbing(stream, self.tunnel_over(from, to)).await
            }
        };
        if ending == Ending::Reset {
            link.reset();
        }
        drop(slot);
        Next::End(ending)
    }

    async fn tunnel_over(
        &mut self,
        mut from_machine: impl AsyncRead + Unpin,
        mut to_machine: impl AsyncWrite + Unpin,
    ) -> Ending {
        let up = Way {
            from: &mut self.reader,
            read: mem::take(&mut self.input),
            to: &mut to_machine,
        };
        let down = Way {
            from: &mut from_machine,
            read: mem::take(&mut self.answer),
            to: &mut self.writer,
        };
        (self.output, self.request) = (Vec::new(), Vec::new());
        let idle = self.manner.times.idle;
        tunnel::run(up, down, &self.activity, &mut self.watchdog, idle).await
    }

    async fn fail(&mut self, refusal: Refusal<'_>, facts: RequestFacts, ended: Ended) -> Next {
        let Ended {
            slot,
            sent,
            begun,
            app,
            ..
        } = ended;
        let machine = slot.machine().clone();
        drop(slot);
        let next = self
            .answer_error(&refusal, facts, begun, sent.all.get())
            .await;
        self.log_refusal(&app, &refusal, Some(&machine));
        next
    }

    /// Answers with `refusal`, unless a response has begun: then only a reset is left. `whole` says that
    /// the request was read to its end.
    pub(super) async fn answer_error(
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

    pub(super) fn log_refusal(&self, app: &str, refusal: &Refusal<'_>, machine: Option<&str>) {
        if let Some(code) = refusal.code.as_deref() {
            self.log(app, code, &refusal.message, machine);
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

/// Whether nothing of a response came.
fn is_unanswered(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(DownloadError::NoAnswer(_)))
}

fn explain(error: &DownloadError) -> Refusal<'static> {
    match error {
        DownloadError::NoAnswer(ErrorKind::ConnectionReset) => Refusal::coded(
            502,
            "PC03",
            "the app reset the connection before it answered",
        ),
        DownloadError::NoAnswer(ErrorKind::InvalidData) => Refusal::plain(
            400,
            "the app speaks HTTP/2, in which the request has no form: a byte in its path or host must be \
             encoded, or it opens a WebSocket without a key",
        ),
        DownloadError::NoAnswer(_) => Refusal::coded(
            502,
            "PU02",
            "the app closed the connection before it answered",
        ),
        DownloadError::Bad(reason) => {
            Refusal::coded(502, "PU02", format!("a bad response: {reason}"))
        }
        DownloadError::Replay(_) | DownloadError::ClientGone => {
            Refusal::coded(502, "PU02", "the client went away")
        }
    }
}
