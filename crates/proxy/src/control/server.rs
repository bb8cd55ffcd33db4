//! The loop of the control thread.

use std::collections::HashSet;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use roost_wire::{Ack, DecodeError, Down, DownLine, Entity, Kind, Name, PROTOCOL, Role, Stage, Up};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::control::apply::settled;
use crate::control::session::Session;
use crate::control::socket::must_be_ours;
use crate::control::{apply, report};
use crate::handover;
use crate::phase::Turn;
use crate::shared::{Config, Shared};

/// How long connections may go on after SIGTERM.
const SIGNAL_GRACE: Duration = Duration::from_secs(10);
/// How often the end looks whether all connections have ended.
const END_CHECK: Duration = Duration::from_millis(20);
/// How long connections that must not go on have for their end.
const LAST_MOMENT: Duration = Duration::from_secs(1);

struct Server {
    shared: Arc<Shared>,
    session: Option<Session>,
    late: mpsc::Sender<(u64, Ack)>,
    /// Grows with each connection, so that a late answer goes to who asked.
    generation: u64,
    /// When no connection may go on.
    stop_at: Option<Instant>,
    /// Answers that wait for the workers.
    unanswered: usize,
}

/// The signals that end the process gracefully.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes them over. To be done before anybody can see the process listen: until then a signal
    /// kills it and the socket's file stays.
    pub(crate) fn take_over() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self {
            terminate,
            interrupt,
        })
    }
}

/// Serves agents until the process has to end. Connections may still be open then, when their grace
/// is over.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: StdListener,
    heirs: StdListener,
    mut lines: mpsc::Receiver<Up>,
    mut signals: Signals,
) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let (taken, mut drains) = mpsc::channel(1);
    let offering = spawn_local(handover::offer(shared.clone(), heirs, taken));
    let (late, mut answers) = mpsc::channel(64);
    let mut server = Server {
        shared,
        session: None,
        late,
        generation: 0,
        stop_at: None,
        unanswered: 0,
    };
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let quiet = server.shared.clone();
    while !server.has_ended() {
        let present = server.session.is_some();
        let check = server.next_check();
        tokio::select! {
            accepted = listener.accept() => server.accepted(accepted),
            exchanged = exchange(&mut server.session) => server.exchanged(exchanged),
            Some(line) = lines.recv(), if present => server.send(&line),
            Some((generation, ack)) = answers.recv() => server.answer(generation, ack),
            Some(patience) = drains.recv() => server.drain_connections(patience),
            () = quiet.quiet.notified() => {}
            _ = second.tick() => server.each_second(),
            _ = signals.terminate.recv() => server.stop(SIGNAL_GRACE),
            _ = signals.interrupt.recv() => server.stop(SIGNAL_GRACE),
            () = sleep_until(check), if server.stop_at.is_some() => server.end_late_connections(),
        }
    }
    offering.abort();
    // The last connection may have had something to say.
    while let Ok(line) = lines.try_recv() {
        server.send(&line);
    }
    server.say_goodbye().await;
    Ok(())
}

async fn exchange(session: &mut Option<Session>) -> io::Result<()> {
    match session {
        Some(session) => session.exchange().await,
        None => std::future::pending().await,
    }
}

impl Server {
    fn accepted(&mut self, accepted: io::Result<(UnixStream, tokio::net::unix::SocketAddr)>) {
        let accepted = accepted.and_then(|(stream, _)| must_be_ours(&stream).map(|()| stream));
        match accepted {
            Ok(stream) => {
                self.generation += 1;
                self.session = Some(Session::new(stream, self.shared.phase.role()));
                self.shared.heard.store(true, Ordering::Relaxed);
            }
            Err(error) => tracing::warn!(%error, "an agent could not connect"),
        }
    }

    fn exchanged(&mut self, exchanged: io::Result<()>) {
        if let Err(error) = exchanged {
            tracing::info!(%error, "the agent is away");
            self.session = None;
            self.shared.heard.store(false, Ordering::Relaxed);
        }
        while let Some(message) = self.session.as_mut().and_then(Session::next) {
            let ack = self.take(message);
            if let Some(ack) = ack {
                self.send(&Up::Ack(ack));
            }
        }
    }

    fn send(&mut self, line: &Up) {
        if let Some(session) = &mut self.session {
            session.send(line);
        }
    }

    fn answer(&mut self, generation: u64, ack: Ack) {
        self.unanswered = self.unanswered.saturating_sub(1);
        if generation == self.generation {
            self.send(&Up::Ack(ack));
        }
    }

    fn each_second(&mut self) {
        self.shared.next_log_second();
        // While the agent is away the peaks go on growing until somebody hears of them.
        if self.session.is_some() {
            for line in report::each_second(&self.shared) {
                self.send(&line);
            }
        }
    }

    /// Does what a message asks; `None` when its answer comes later.
    fn take(&mut self, message: Result<DownLine, DecodeError>) -> Option<Ack> {
        let DownLine { seq, op } = match message {
            Ok(line) => line,
            Err(error) => return Some(failed(error.seq(), error.to_string())),
        };
        let mut ack = Ack {
            seq,
            ..Ack::default()
        };
        match op {
            Down::Hello {
                protocol,
                region,
                settings,
            } => {
                if protocol != PROTOCOL {
                    let message = format!("this proxy speaks protocol {PROTOCOL}, not {protocol}");
                    return Some(failed(seq, message));
                }
                match Config::new(region, settings) {
                    Ok(config) => self.shared.set_config(config),
                    Err(error) => ack.error = Some(error.to_string()),
                }
            }
            Down::Snapshot { stage } => {
                self.snapshot(stage);
                return self.later(ack);
            }
            Down::Put(entity) => match self.put(entity) {
                Ok(true) => return self.later(ack),
                Ok(false) => {}
                Err(error) => ack.error = Some(error),
            },
            Down::Del { kind, id } => {
                if apply::del(&self.shared, kind, &id) {
                    return self.later(ack);
                }
            }
            Down::Drain { machine, if_idle } => return self.drain(seq, &machine, if_idle),
            Down::WakeFailed {
                machine,
                code,
                message,
            } => {
                apply::wake_failed(&self.shared, &machine, &code, &message);
            }
            Down::TakeOver { from, drain_ms } => {
                self.take_over(ack, from, drain_ms);
                return None;
            }
            Down::CertificateFailed {
                app,
                audience,
                message,
            } => self.shared.tls.failed(app, audience, message),
            Down::Tell => self.tell(),
            Down::Stats => {
                let mut stats = report::stats(&self.shared);
                stats.extend(self.left());
                ack.stats = Some(stats);
            }
            Down::Stop { grace_ms } => {
                self.stop(Duration::from_millis(grace_ms));
                return self.later(ack);
            }
        }
        Some(ack)
    }

    fn put(&mut self, entity: Entity) -> Result<bool, String> {
        if let Some(seen) = self
            .session
            .as_mut()
            .and_then(|session| session.snapshot.as_mut())
        {
            seen.insert(match &entity {
                Entity::Network(network) => (Kind::Network, network.id.clone()),
                Entity::App(app) => (Kind::App, app.id.clone()),
                Entity::Machine(machine) => (Kind::Machine, machine.id.clone()),
                Entity::Certificate(one) => (Kind::Certificate, one.id.clone()),
            });
        }
        apply::put(&self.shared, entity)
    }

    fn snapshot(&mut self, stage: Stage) {
        let Some(session) = &mut self.session else {
            return;
        };
        match stage {
            Stage::Begin => session.snapshot = Some(HashSet::new()),
            Stage::End => {
                if let Some(seen) = session.snapshot.take() {
                    apply::retain(&self.shared, &seen);
                }
                self.tell();
            }
        }
    }

    /// Says again what was news, for an agent that did not listen.
    fn tell(&mut self) {
        for line in report::all_wakes(&self.shared) {
            self.send(&line);
        }
        self.shared.checker.tell_all();
    }

    fn drain(&mut self, seq: u64, machine: &Name, if_idle: bool) -> Option<Ack> {
        let Some((drained, load)) = apply::drain(&self.shared, machine, if_idle) else {
            return Some(failed(seq, format!("there is no machine {machine}")));
        };
        let ack = Ack {
            seq,
            drained: Some(drained),
            load: Some(load),
            ..Ack::default()
        };
        if drained { self.later(ack) } else { Some(ack) }
    }

    /// Answers once the workers have done what the message asks of them.
    fn later(&mut self, mut ack: Ack) -> Option<Ack> {
        let shared = self.shared.clone();
        self.answer_later(async move {
            if !settled(&shared).await {
                ack.error = Some("a worker did not do its part in time".to_owned());
            }
            ack
        });
        None
    }

    fn take_over(&mut self, mut ack: Ack, from: Vec<String>, drain_ms: u64) {
        let shared = self.shared.clone();
        self.answer_later(async move {
            match handover::take_over(shared, from, drain_ms).await {
                Ok(sockets) => ack.sockets = Some(sockets),
                Err(error) => ack.error = Some(error),
            }
            ack
        });
    }

    fn answer_later(&mut self, answer: impl Future<Output = Ack> + 'static) {
        self.unanswered += 1;
        let (late, generation) = (self.late.clone(), self.generation);
        spawn_local(async move {
            let ack = answer.await;
            // The loop has ended when nobody receives.
            drop(late.send((generation, ack)).await);
        });
    }

    fn stop(&mut self, grace: Duration) {
        tracing::info!(grace_ms = grace.as_millis(), "stopping");
        self.shared.turn(Turn::Stop);
        self.stop_at = Some(Instant::now() + grace);
    }

    /// Another process has taken over: what is open here goes on, but not for ever.
    fn drain_connections(&mut self, patience: Duration) {
        tracing::info!(patience_ms = patience.as_millis(), "taken over");
        // A third process does not change what the second one said.
        if self.stop_at.is_none() {
            self.stop_at = Instant::now().checked_add(patience);
        }
    }

    /// How long connections may still go on, where that has an end.
    fn left(&self) -> Option<(String, u64)> {
        let left = self.stop_at?.saturating_duration_since(Instant::now());
        let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        Some(("left_ms".to_owned(), left))
    }

    fn end_late_connections(&mut self) {
        let draining = self.shared.phase.role() == Role::Draining;
        if draining && self.stop_at.is_some_and(|at| Instant::now() >= at) {
            for mailbox in &self.shared.mailboxes {
                mailbox.over();
            }
            self.stop(LAST_MOMENT);
        }
    }

    /// When to look whether the end has come: each second is often enough while others serve.
    fn next_check(&self) -> Instant {
        match self.stop_at {
            Some(at) if !self.shared.hurries() => at,
            _ => Instant::now() + END_CHECK,
        }
    }

    fn has_ended(&self) -> bool {
        let shared = &self.shared;
        let count = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        let open = || count(&shared.connections);
        let others = || count(&shared.answering) + count(&shared.lending);
        let idle = || self.unanswered == 0 && open() == 0;
        match self.stop_at {
            None => false,
            Some(at) if shared.hurries() => idle() || Instant::now() >= at,
            Some(_) => idle() && others() == 0,
        }
    }

    /// Writes what is still unsent, without waiting for an agent that does not read.
    async fn say_goodbye(&mut self) {
        let Some(session) = &mut self.session else {
            return;
        };
        let flushed = tokio::time::timeout(Duration::from_millis(200), session.flush()).await;
        if flushed.is_err() {
            tracing::debug!("the agent did not read the last lines");
        }
    }
}

fn failed(seq: u64, error: String) -> Ack {
    Ack {
        seq,
        error: Some(error),
        ..Ack::default()
    }
}
