//! What all threads share: the table, the apps' routing state, settings, and the way up to the agent.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use roost_core::{Limits, Micros, Table};
use roost_wire::{Level, Name, Role, Settings, Up};
use tokio::sync::{Notify, mpsc};

use crate::app::AppHandle;
use crate::applog::{AppLog, Text};
use crate::budget::Budget;
use crate::checks::Checker;
use crate::fly_src::{KeyError, Signer};
use crate::handover::Heirs;
use crate::large_heads::{LargeHeads, Room};
use crate::mailbox::Mailbox;
use crate::netns::Netns;
use crate::phase::{Phase, Turn};
use crate::probe::Prober;
use crate::replay::keeper::Kept;
use crate::replay::memory::{self, Memory};
use crate::seldom::Seldom;
use crate::sockets::Sockets;
use crate::sources::Sources;
use crate::splice::Pipes;
use crate::tls::Store;
use crate::udp::Totals;
use crate::unbound::Unbound;

/// Lines for the agent that may wait while it is away or slow.
const UPWARD_BOUND: usize = 8192;

/// Shared by every thread of the process.
#[derive(Debug)]
pub(crate) struct Shared {
    started: Instant,
    table: RwLock<Table>,
    apps: RwLock<HashMap<Name, Arc<AppHandle>>>,
    namespaces: RwLock<HashMap<Name, Arc<Netns>>>,
    config: RwLock<Arc<Config>>,
    config_version: AtomicU64,
    up: mpsc::Sender<Up>,
    applog: AppLog,
    /// Apps that have something to report.
    pub(crate) active: Mutex<Vec<Arc<AppHandle>>>,
    /// The one thread that tries ports.
    pub(crate) prober: Prober,
    /// The one thread that runs health checks.
    pub(crate) checker: Checker,
    /// One per worker thread.
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
    /// What keeps the rules of port ranges is told here.
    pub(crate) ranges: Mailbox,
    /// What flows of datagrams take.
    pub(crate) udp: Totals,
    /// Client connections that are open.
    pub(crate) connections: AtomicUsize,
    /// Told when the last of them has ended, once the process ends with it.
    pub(crate) quiet: Notify,
    /// How many of them there may be.
    pub(crate) max_connections: usize,
    /// Those of them that came over public networks.
    pub(crate) from_outside: AtomicUsize,
    /// Streams of HTTP/2 beside others of their connection.
    pub(crate) streams: AtomicUsize,
    /// How many of them memory is there for.
    pub(crate) max_streams: usize,
    /// Whose streams these are.
    pub(crate) streaming: Arc<Sources>,
    /// Whose the client connections are.
    pub(crate) sources: Arc<Sources>,
    /// Heads of requests that take much memory.
    large_heads: LargeHeads,
    /// How many of them memory is there for.
    max_large_heads: usize,
    /// Pipes for bulk.
    pub(crate) pipes: Pipes,
    /// Where listening is not possible now.
    pub(crate) unbound: Unbound,
    /// Certificates.
    pub(crate) tls: Store,
    /// Bounds what is said about accepting that rests.
    pub(crate) resting: Seldom,
    /// Calls that wait, over all apps.
    pub(crate) waiting: AtomicUsize,
    /// Bytes of theirs that are held meanwhile.
    pub(crate) held_bytes: AtomicUsize,
    /// The sockets that callers come to.
    pub(crate) sockets: Arc<Sockets>,
    /// What is still answered besides client connections, such as a name.
    pub(crate) answering: AtomicUsize,
    /// Processes whose units are counted here.
    pub(crate) lending: AtomicUsize,
    /// What this process does beside others.
    pub(crate) phase: Phase,
    /// Who has taken over.
    pub(crate) heir: Heirs,
    /// Whether an agent is connected: without one no wish comes true.
    pub(crate) heard: AtomicBool,
    /// Responses that are being compressed.
    pub(crate) coders: AtomicUsize,
    /// Bytes of request bodies that are kept for replays.
    pub(crate) kept: Kept,
    /// Bytes of replays that are remembered.
    pub(crate) remembered: Arc<Kept>,
}

/// What the agent's `hello` said.
#[derive(Debug)]
pub(crate) struct Config {
    /// Region of this host.
    pub(crate) region: Name,
    /// Times and bounds.
    pub(crate) settings: Settings,
    /// The same for `roost-core`.
    pub(crate) limits: Limits,
    /// Signs `Fly-Src`.
    pub(crate) signer: Option<Arc<Signer>>,
}

impl Config {
    /// What a `hello` asks for.
    pub(crate) fn new(region: Name, settings: Settings) -> Result<Self, KeyError> {
        let signer = settings.src_key.as_ref().map(Signer::new).transpose()?;
        let limits = Limits::new(region.clone(), &settings);
        Ok(Self {
            region,
            settings,
            limits,
            signer: signer.map(Arc::new),
        })
    }
}

impl Default for Config {
    /// What holds before the first `hello`.
    fn default() -> Self {
        let (region, settings) = (Name::default(), Settings::default());
        Self {
            limits: Limits::new(region.clone(), &settings),
            region,
            settings,
            signer: None,
        }
    }
}

impl Shared {
    /// An empty table for `threads` workers. Gives also where the lines for the agent come out.
    pub(crate) fn new(
        threads: usize,
        budget: Budget,
        prober: Prober,
        checker: Checker,
        role: Role,
    ) -> (Self, mpsc::Receiver<Up>) {
        let (up, lines) = mpsc::channel(UPWARD_BOUND);
        let shared = Self {
            started: Instant::now(),
            table: RwLock::default(),
            apps: RwLock::default(),
            namespaces: RwLock::default(),
            config: RwLock::default(),
            config_version: AtomicU64::new(1),
            up,
            applog: AppLog::default(),
            active: Mutex::default(),
            prober,
            checker,
            mailboxes: (0..threads).map(|_| Arc::new(Mailbox::default())).collect(),
            ranges: Mailbox::default(),
            udp: Totals::default(),
            connections: AtomicUsize::new(0),
            quiet: Notify::new(),
            max_connections: budget.connections,
            from_outside: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            max_streams: budget.streams,
            streaming: Arc::default(),
            sources: Arc::default(),
            large_heads: LargeHeads::default(),
            max_large_heads: budget.heads,
            pipes: Pipes::new(budget.pipes),
            unbound: Unbound::default(),
            tls: Store::default(),
            resting: Seldom::default(),
            waiting: AtomicUsize::new(0),
            held_bytes: AtomicUsize::new(0),
            sockets: Arc::new(Sockets::new(threads)),
            answering: AtomicUsize::new(0),
            lending: AtomicUsize::new(0),
            phase: Phase::new(role),
            heir: Heirs::default(),
            heard: AtomicBool::new(false),
            coders: AtomicUsize::new(0),
            kept: Kept::for_bodies(),
            remembered: Arc::new(Kept::new(memory::MOST_IN_ALL)),
        };
        (shared, lines)
    }

    /// Microseconds since the process started.
    pub(crate) fn now(&self) -> Micros {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The instant of a time given in microseconds since the process started.
    pub(crate) fn instant(&self, at: Micros) -> tokio::time::Instant {
        (self.started + std::time::Duration::from_micros(at)).into()
    }

    /// The routing table; hold it shortly and never over an await.
    pub(crate) fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The routing table, to be changed by the control thread alone.
    pub(crate) fn table_mut(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The routing state of an app.
    pub(crate) fn app(&self, name: &str) -> Option<Arc<AppHandle>> {
        self.apps
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// The organization of an app; of one that is not there a name that none has.
    pub(crate) fn org_of(&self, app: &str) -> Name {
        let table = self.table();
        table
            .app(app)
            .map(|app| app.org.clone())
            .unwrap_or_default()
    }

    /// The routing state of an app, made when it is not there.
    pub(crate) fn app_or_new(&self, name: &Name) -> Arc<AppHandle> {
        let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let memory = Memory::new(self.remembered.clone());
            Arc::new(AppHandle::new(name.clone(), memory, self.heir.decides()))
        };
        apps.entry(name.clone()).or_insert_with(new).clone()
    }

    /// The routing state of all apps.
    pub(crate) fn apps(&self) -> Vec<Arc<AppHandle>> {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        apps.values().cloned().collect()
    }

    /// Forgets the routing state of an app. Those who use it still go on.
    pub(crate) fn forget_app(&self, name: &str) {
        self.apps
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
    }

    /// The region and settings in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes whenever [`Self::config`] does, so that threads may keep a copy.
    pub(crate) fn config_version(&self) -> u64 {
        self.config_version.load(Ordering::Acquire)
    }

    /// Puts another region and other settings in force.
    pub(crate) fn set_config(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.config_version.fetch_add(1, Ordering::Release);
    }

    /// The open namespace of a network on this host.
    pub(crate) fn netns(&self, network: &str) -> Option<Arc<Netns>> {
        self.namespaces
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(network)
            .cloned()
    }

    /// Sets or forgets the namespace of a network.
    pub(crate) fn set_netns(&self, network: &Name, netns: Option<Arc<Netns>>) {
        let mut all = self
            .namespaces
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match netns {
            Some(netns) => all.insert(network.clone(), netns),
            None => all.remove(network),
        };
    }

    /// Whether another client connection may be accepted. Callers from outside leave half of the room to
    /// those inside.
    pub(crate) fn has_room(&self, public: bool) -> bool {
        let outside = self.from_outside.load(Ordering::Relaxed);
        let all = self.connections.load(Ordering::Relaxed);
        let most = Budget::from_outside(self.max_connections);
        all < self.max_connections && (!public || outside < most)
    }

    /// Whether another stream may begin beside others of its connection.
    pub(crate) fn has_room_for_stream(&self, public: bool) -> bool {
        let most = if public {
            Budget::from_outside(self.max_streams)
        } else {
            self.max_streams
        };
        self.has_room(public) && self.streams.load(Ordering::Relaxed) < most
    }

    /// How many streams beside others one source may have.
    pub(crate) const fn most_streams_of_a_source(&self) -> usize {
        Budget::of_a_source(self.max_streams)
    }

    /// How many connections one source may have.
    pub(crate) fn most_of_a_source(&self, settings: &Settings) -> usize {
        match settings.max_connections_source {
            None => Budget::of_a_source(self.max_connections),
            Some(0) => usize::MAX,
            Some(most) => most,
        }
    }

    /// Room for a large head of a caller, if there is.
    pub(crate) fn room_for_head(
        &self,
        settings: &Settings,
        network: &Name,
        caller: IpAddr,
        outside: bool,
    ) -> Option<Room> {
        let most = match settings.max_large_heads {
            None => self.max_large_heads,
            Some(0) => usize::MAX,
            Some(most) => most,
        };
        self.large_heads.enter(network, caller, outside, most)
    }

    /// Sends a line to the agent. Never waits; a line that finds no room is dropped.
    pub(crate) fn up(&self, line: Up) {
        self.try_up(line);
    }

    /// As [`Self::up`]; `false` when it was dropped.
    pub(crate) fn try_up(&self, line: Up) -> bool {
        let sent = self.up.try_send(line).is_ok();
        if !sent {
            tracing::debug!("the agent does not read: a line was dropped");
        }
        sent
    }

    /// As [`Self::up`], but waits for room.
    pub(crate) async fn up_with_room(&self, line: Up) {
        if self.up.send(line).await.is_err() {
            tracing::debug!("nobody speaks with the agent any more");
        }
    }

    /// Writes a line to an app's log, bounded per app and second. Never waits.
    pub(crate) fn log(
        &self,
        app: &str,
        machine: Option<&str>,
        code: &str,
        message: &str,
        request: Option<&str>,
    ) {
        self.log_at(Level::Error, app, machine, Some(code), message, request);
    }

    /// As [`Self::log`], with a level and perhaps no code.
    pub(crate) fn log_at(
        &self,
        level: Level,
        app: &str,
        machine: Option<&str>,
        code: Option<&str>,
        message: &str,
        request: Option<&str>,
    ) {
        let text = || Text {
            message: message.into(),
            request: request.map(Into::into),
        };
        self.log_with(level, app, machine, code, text);
    }

    /// As [`Self::log_at`], with a text that is not made when the line may not be written.
    pub(crate) fn log_with(
        &self,
        level: Level,
        app: &str,
        machine: Option<&str>,
        code: Option<&str>,
        text: impl FnOnce() -> Text,
    ) {
        if !self.applog.admit(app, code) {
            return;
        }
        let Text { message, request } = text();
        self.up(Up::Log {
            app: app.into(),
            machine: machine.map(Into::into),
            level,
            code: code.map(Into::into),
            message,
            request,
        });
    }

    /// Starts a new second for the log bound, and tells of what was left out in the past one.
    pub(crate) fn next_log_second(&self) {
        for (app, count) in self.applog.next_second() {
            self.up(Up::Log {
                app,
                machine: None,
                level: Level::Warn,
                code: None,
                message: format!("{count} more lines of the proxy were left out").into(),
                request: None,
            });
        }
    }

    /// Whether the process is ending, now or when its connections have: a client connection should be
    /// closed as soon as its client cannot be surprised by it.
    pub(crate) fn stopping(&self) -> bool {
        matches!(self.phase.role(), Role::Draining | Role::Stopping)
    }

    /// Whether an unused client connection should be closed at once, though its client may be sending.
    pub(crate) fn hurries(&self) -> bool {
        self.phase.role() == Role::Stopping
    }

    /// Whether connections are accepted.
    pub(crate) fn listens(&self) -> bool {
        self.phase.role() == Role::Serving
    }

    /// Goes on to another phase, and has the workers follow; `false` when there is no way to it.
    pub(crate) fn turn(&self, turn: Turn) -> bool {
        let turned = self.phase.turn(turn);
        if turned {
            for mailbox in &self.mailboxes {
                mailbox.turn();
            }
            self.ranges.turn();
        }
        turned
    }

    /// The apps that have something to report; each has to be put back by
    /// [`crate::app::AppHandle::report`].
    pub(crate) fn take_active(&self) -> Vec<Arc<AppHandle>> {
        std::mem::take(&mut *lock(&self.active))
    }
}

/// Locks; what a panicking thread left behind is still whole, since no transition of ours panics.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
