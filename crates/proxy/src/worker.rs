//! One thread of the proxy: its pool, its way to a Machine, and its mail.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use roost_core::{Refusal, Request, WaiterId};
use roost_wire::{Name, Protocol, Settings};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::app::{Acquired, Answer, AppHandle, Context};
use crate::fly_src::Lines;
use crate::group::Groups;
use crate::http::pool::Pool;
use crate::http2::Peers;
use crate::listen::Listeners;
use crate::route::{RouteError, Slot, Target};
use crate::shared::{Config, Shared};
use crate::udp::Flows;

/// How many Machines one call is tried on.
const MAX_TRIES: usize = 3;

/// One per thread, shared by its tasks as an `Rc`.
pub(crate) struct Worker {
    /// What all threads share.
    pub(crate) shared: Arc<Shared>,
    /// Unused connections to Machines.
    pub(crate) pool: Pool,
    /// Connections to Machines that speak HTTP/2.
    pub(crate) peers: Peers,
    /// The client connections, by what ends them.
    pub(crate) groups: Groups,
    /// The flows of datagrams.
    pub(crate) flows: Flows,
    /// Who calls, signed.
    pub(crate) sources: Lines,
    config: RefCell<(u64, Arc<Config>)>,
    random: Cell<u64>,
}

impl Worker {
    /// A worker; `seed` makes its choices differ from the others'.
    pub(crate) fn new(shared: Arc<Shared>, seed: u64) -> Self {
        let config = RefCell::new((0, shared.config()));
        Self {
            shared,
            pool: Pool::new(),
            peers: Peers::default(),
            groups: Groups::default(),
            flows: Flows::default(),
            sources: Lines::default(),
            config,
            random: Cell::new(seed | 1),
        }
    }

    /// The region and settings in force, without touching what other threads use.
    pub(crate) fn config(&self) -> Arc<Config> {
        let version = self.shared.config_version();
        let mut kept = self.config.borrow_mut();
        if kept.0 != version {
            *kept = (version, self.shared.config());
        }
        kept.1.clone()
    }

    /// Whether a connection should end as soon as its client has been told. Not for one that has said nothing
    /// yet: its first bytes may be on the way.
    pub(crate) fn is_ending(&self, target: &Target) -> bool {
        target.group.is_closing() || self.shared.stopping()
    }

    /// Whether it should end though its client may be sending at this moment.
    pub(crate) fn ends_at_once(&self, target: &Target) -> bool {
        target.group.is_closing() || self.shared.hurries()
    }

    pub(crate) fn context<'a>(&'a self, config: &'a Config) -> Context<'a> {
        // A Weyl sequence through a multiply: enough to spread ties.
        let random = self.random.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.random.set(random);
        let random = (random ^ (random >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        Context {
            shared: &self.shared,
            config,
            random,
        }
    }

    /// Gets a unit of load on the best Machine. Queues at the hard limit, wakes a sleeping Machine
    /// and holds the call until it is ready; within the bounds of the settings. Dropping the future
    /// leaves the queue.
    pub(crate) async fn acquire(
        self: &Rc<Self>,
        app: &Arc<AppHandle>,
        http: bool,
        request: Request<'_>,
    ) -> Result<Slot, RouteError> {
        match self.unit(app, request).await {
            Ok(granted) => Ok(Slot::new(self.clone(), app.clone(), granted)),
            Err(refusal) => Err(RouteError::new(&refusal, http)),
        }
    }

    /// As [`Self::acquire`], without what gives the unit back.
    pub(crate) async fn unit(
        self: &Rc<Self>,
        app: &Arc<AppHandle>,
        request: Request<'_>,
    ) -> Answer {
        let config = self.config();
        let held_bytes = match request.port.protocol {
            // They are counted as they come, with a bound of their own: what a flow may hold is mostly not held.
            Protocol::Udp => 0,
            Protocol::Tcp | Protocol::Other => request.held_bytes,
        };
        match app.acquire(request, self.context(&config)) {
            Acquired::Now(answer) => answer,
            Acquired::Later(waiter, deadline, told) => {
                let wait = Wait {
                    worker: self,
                    app,
                    waiter,
                    held_bytes,
                    told,
                };
                wait.answer(deadline).await
            }
        }
    }

    /// Gets a unit of load together with a new connection, trying another Machine where one cannot be
    /// reached.
    pub(crate) async fn reach(
        self: &Rc<Self>,
        target: &Target,
        held_bytes: usize,
    ) -> Result<(Slot, TcpStream), RouteError> {
        let mut exclude: Vec<Name> = Vec::new();
        let mut tries = 0;
        let http = target.service_port.is_http();
        loop {
            let request = Request {
                port: target.port.into(),
                exclude: &exclude,
                wish: None,
                held_bytes,
            };
            let slot = self.acquire(&target.app, http, request).await?;
            tries += 1;
            let error = match slot.connect().await {
                Ok(stream) => return Ok((slot, stream)),
                Err(error) => error,
            };
            if tries == MAX_TRIES {
                return Err(error.into());
            }
            if !error.refused {
                exclude.push(slot.machine().clone());
                self.shared.log(
                    &target.app.name,
                    Some(slot.machine()),
                    error.code,
                    &error.message,
                    None,
                );
            }
        }
    }

    /// Does what the control thread asks, until the process ends.
    pub(crate) async fn run(self: Rc<Self>, index: usize) {
        let Some(mailbox) = self.shared.mailboxes.get(index).cloned() else {
            return;
        };
        let mut listeners = Listeners::new(self.clone(), index);
        loop {
            let mail = mailbox.next().await;
            if mail.turned {
                listeners.follow();
                if self.shared.stopping() {
                    self.pool.purge_all();
                }
                if !self.shared.listens() {
                    self.flows.turn_all_away();
                }
                self.groups.wake_all();
            }
            for network in &mail.networks {
                listeners.reconcile(network);
            }
            for (network, at) in &mail.places {
                listeners.reconcile_at(network, *at);
            }
            for machine in &mail.purges {
                self.pool.purge(machine);
                self.peers.purge(machine);
                self.flows.turn_away(machine);
            }
            if mail.over {
                self.groups.end_all();
            }
            for release in &mail.released {
                self.groups.release(release);
            }
            listeners.closed().await;
            for done in mail.done {
                // It fails when nobody waits any more.
                let _ = done.send(());
            }
        }
    }
}

/// A place in line; dropping it leaves the line.
struct Wait<'a> {
    worker: &'a Rc<Worker>,
    app: &'a Arc<AppHandle>,
    waiter: WaiterId,
    held_bytes: usize,
    told: oneshot::Receiver<Answer>,
}

impl Wait<'_> {
    async fn answer(mut self, deadline: u64) -> Answer {
        let shared = &self.worker.shared;
        let _counted = Counted::new(shared, self.held_bytes);
        if Counted::are_too_many(shared, &self.worker.config().settings) {
            return Err(Refusal::QueueFull);
        }
        let told = tokio::time::timeout_at(shared.instant(deadline), &mut self.told).await;
        if let Ok(answer) = told {
            return answer.unwrap_or(Err(Refusal::Exhausted));
        }
        let config = self.worker.config();
        match self
            .app
            .timed_out(self.waiter, self.worker.context(&config))
        {
            Some(refusal) => Err(refusal),
            // The answer came at the very moment of the deadline.
            None => self.told.try_recv().unwrap_or(Err(Refusal::Exhausted)),
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let config = self.worker.config();
        self.app
            .leave(self.waiter, &mut self.told, self.worker.context(&config));
    }
}

/// Counts one who waits, and what is held of it, while it lives.
struct Counted<'a> {
    shared: &'a Shared,
    held_bytes: usize,
}

impl<'a> Counted<'a> {
    fn new(shared: &'a Shared, held_bytes: usize) -> Self {
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        shared.held_bytes.fetch_add(held_bytes, Ordering::Relaxed);
        Self { shared, held_bytes }
    }

    /// Whether all who wait are more, or hold more, than may be.
    fn are_too_many(shared: &Shared, settings: &Settings) -> bool {
        let over = |counted: &AtomicUsize, most| counted.load(Ordering::Relaxed) > most;
        over(&shared.waiting, settings.max_waiters)
            || over(&shared.held_bytes, settings.max_held_bytes)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let held_bytes = &self.shared.held_bytes;
        held_bytes.fetch_sub(self.held_bytes, Ordering::Relaxed);
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
