//! The one thread that tries the ports of Machines that are coming up.
//!
//! Linux tells nobody when a program begins to listen, so the port is tried: first every 200 µs, which
//! no timer of the workers' runtimes can do. A refusal comes back within the call to `connect`, so a try
//! costs a few microseconds. The connection that succeeds is handed to the first in line: a program
//! that serves one connection only is not robbed of it.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use roost_core::{Probe, ProbeWish};
use roost_wire::Level;
use socket2::Socket;

use crate::app::{AppHandle, Context};
use crate::shared::Shared;

const FAST: Duration = Duration::from_micros(200);
const MEDIUM: Duration = Duration::from_micros(500);
const SLOW: Duration = Duration::from_millis(1);
/// Between tries while nobody waits.
const LAZY: Duration = Duration::from_millis(20);
/// Between questions whether somebody still waits.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// A try without any answer, such as while the interface is not up, is begun anew.
const PENDING: Duration = Duration::from_millis(5);
/// When the app's log is told that somebody still waits.
const TELL_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

type Job = (Arc<AppHandle>, Probe);

/// Where ports to be tried are handed in. There is at most one job per service of a Machine.
#[derive(Debug)]
pub(crate) struct Prober {
    jobs: Sender<Job>,
}

impl Prober {
    /// A prober and the jobs for [`run`].
    pub(crate) fn new() -> (Self, Receiver<Job>) {
        let (jobs, inbox) = channel();
        (Self { jobs }, inbox)
    }

    /// Tries a port until it accepts or nobody wants it any more.
    pub(crate) fn probe(&self, app: Arc<AppHandle>, probe: Probe) {
        if self.jobs.send((app, probe)).is_err() {
            tracing::error!("the thread that tries ports is gone");
        }
    }
}

struct Trial {
    app: Arc<AppHandle>,
    probe: Probe,
    begun: Instant,
    next: Instant,
    asked: Instant,
    wish: ProbeWish,
    pending: Option<(Socket, Instant)>,
    told: usize,
}

/// Tries ports until every [`Prober`] is gone.
pub(crate) fn run(inbox: &Receiver<Job>, shared: &Weak<Shared>) {
    let mut trials: HashMap<(usize, u64, u16), Trial> = HashMap::new();
    loop {
        let wait = trials.values().map(|trial| trial.next).min();
        let job = match wait {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(next) => inbox.recv_timeout(next.saturating_duration_since(Instant::now())),
        };
        let Some(shared) = shared.upgrade() else {
            return;
        };
        match job {
            Ok((app, probe)) => {
                let key = (Arc::as_ptr(&app) as usize, probe.epoch, probe.internal_port);
                trials.insert(key, Trial::new(app, probe));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        trials.retain(|_, trial| trial.step(&shared));
    }
}

impl Trial {
    fn new(app: Arc<AppHandle>, probe: Probe) -> Self {
        let now = Instant::now();
        let wish = ProbeWish::Eager;
        Self {
            app,
            probe,
            begun: now,
            next: now,
            asked: now,
            wish,
            pending: None,
            told: 0,
        }
    }

    /// One try when it is time for it; `false` when there is nothing left to try.
    fn step(&mut self, shared: &Arc<Shared>) -> bool {
        let now = Instant::now();
        if now < self.next {
            return true;
        }
        if now.duration_since(self.asked) >= ASK_EVERY && !self.still_wanted(shared, now) {
            return false;
        }
        match self.attempt(shared, now) {
            Ok(Some(stream)) => {
                let config = shared.config();
                let random = u64::from(self.begun.elapsed().subsec_nanos());
                let context = Context {
                    shared,
                    config: &config,
                    random,
                };
                self.app.ready(&self.probe, stream, context);
                return false;
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(machine = %self.probe.machine.id, %error, "probe"),
        }
        self.next = now + self.pause(now);
        true
    }

    fn pause(&self, now: Instant) -> Duration {
        match now.duration_since(self.begun).as_millis() {
            _ if self.wish == ProbeWish::Lazy => LAZY,
            0..50 => FAST,
            50..500 => MEDIUM,
            _ => SLOW,
        }
    }

    fn still_wanted(&mut self, shared: &Arc<Shared>, now: Instant) -> bool {
        self.asked = now;
        self.wish = self.app.probe_wish(&self.probe);
        let waited = now.duration_since(self.begun);
        match self.wish {
            ProbeWish::Stop => return false,
            ProbeWish::Lazy => {
                let patience = shared.config().settings.wake_timeout_ms;
                if waited.as_millis() >= u128::from(patience) {
                    self.app.probe_ended(&self.probe);
                    return false;
                }
            }
            ProbeWish::Eager => self.tell(shared, waited),
        }
        true
    }

    fn tell(&mut self, shared: &Shared, waited: Duration) {
        if TELL_AFTER
            .get(self.told)
            .is_some_and(|after| waited >= *after)
        {
            self.told += 1;
            let message = format!(
                "still waiting for machine to listen on 0.0.0.0:{} (waited {:.1}s)",
                self.probe.internal_port,
                waited.as_secs_f64()
            );
            let machine = Some(&*self.probe.machine.id);
            shared.log_at(Level::Warn, &self.app.name, machine, None, &message, None);
        }
    }

    fn attempt(&mut self, shared: &Shared, now: Instant) -> io::Result<Option<TcpStream>> {
        let (socket, since) = match self.pending.take() {
            Some(pending) => pending,
            None => (self.begin(shared)?, now),
        };
        if let Some(error) = socket.take_error()? {
            return if error.kind() == io::ErrorKind::ConnectionRefused {
                Ok(None)
            } else {
                Err(error)
            };
        }
        if socket.peer_addr().is_ok() {
            return Ok(Some(socket.into()));
        }
        if now.duration_since(since) < PENDING {
            self.pending = Some((socket, since));
        }
        Ok(None)
    }

    fn begin(&self, shared: &Shared) -> io::Result<Socket> {
        let machine = &self.probe.machine;
        let missing = || io::Error::from(io::ErrorKind::AddrNotAvailable);
        let netns = shared.netns(&machine.network).ok_or_else(missing)?;
        let address =
            SocketAddr::from((machine.ip4.ok_or_else(missing)?, self.probe.internal_port));
        let socket = netns.tcp4_socket()?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Err(error)
                if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
            {
                Err(error)
            }
            _ => Ok(socket),
        }
    }
}
