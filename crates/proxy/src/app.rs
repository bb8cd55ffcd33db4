//! One app in the data plane: its routing state behind one lock, and those who wait for it.

use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use roost_core::{
    AppState, Effect, Fate, Grant, HandedOver, LoadLine, Micros, Moment, Plea, Probe, ProbeWish,
    Refusal, Request, Run, RunWish, Verdict, WaiterId, Wish,
};
use roost_wire::{Elder, Level, Machine, Name, TransportPort, Up, Wished};
use tokio::sync::oneshot;

use crate::replay::memory::Memory;
use crate::seldom::Seldom;
use crate::shared::{Config, Shared, lock};

/// One app.
#[derive(Debug)]
pub(crate) struct AppHandle {
    /// Its name.
    pub(crate) name: Name,
    /// Bytes of its callers' request bodies that are kept for replays.
    pub(crate) kept: AtomicUsize,
    /// Responses to its callers that are being compressed.
    pub(crate) coders: AtomicUsize,
    /// Bounds what is said about datagrams to it that find no room.
    pub(crate) crowded: Seldom,
    /// The replays that it has said and that are remembered.
    pub(crate) memory: Memory,
    cell: Mutex<Cell>,
    /// When a request to it was last replayed; 0 is never.
    replayed: AtomicU64,
}

/// A unit of load, and perhaps the connection that proved the port.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) grant: Grant,
    pub(crate) early: Option<TcpStream>,
}

/// How a wait ends.
pub(crate) type Answer = Result<Granted, Refusal>;

/// Answer to [`AppHandle::acquire`].
pub(crate) enum Acquired {
    /// At once.
    Now(Answer),
    /// Later: [`AppHandle::leave`] has to be called unless the answer came.
    Later(WaiterId, roost_core::Micros, oneshot::Receiver<Answer>),
}

#[derive(Debug, Default)]
struct Cell {
    state: AppState,
    waiting: HashMap<WaiterId, oneshot::Sender<Answer>>,
    listed: bool,
}

/// What a transition needs besides the app: the time, a random number and the bounds.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) config: &'a Config,
    pub(crate) random: u64,
}

impl<'a> Context<'a> {
    /// For a thread that is not a worker.
    pub(crate) fn new(shared: &'a Shared, config: &'a Config) -> Self {
        Self {
            shared,
            config,
            random: shared.now().wrapping_mul(0x9E37_79B9_7F4A_7C15),
        }
    }

    fn moment(self) -> Moment<'a> {
        Moment {
            now: self.shared.now(),
            random: self.random,
            limits: &self.config.limits,
        }
    }
}

impl AppHandle {
    /// An app without Machines; as a `guest` another process decides.
    pub(crate) fn new(name: Name, memory: Memory, guest: bool) -> Self {
        let mut cell = Cell::default();
        if guest {
            cell.state.hand_over();
        }
        let cell = Mutex::new(cell);
        Self {
            name,
            kept: AtomicUsize::new(0),
            coders: AtomicUsize::new(0),
            crowded: Seldom::default(),
            memory,
            cell,
            replayed: AtomicU64::new(0),
        }
    }

    /// A request to it is replayed.
    pub(crate) fn note_replay(&self, now: Micros) {
        self.replayed.store(now.max(1), Ordering::Relaxed);
    }

    /// Whether one was after this moment.
    pub(crate) fn replayed_since(&self, moment: Micros) -> bool {
        let at = self.replayed.load(Ordering::Relaxed);
        at > 0 && at >= moment
    }

    /// Reserves a unit or enters the line.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        request: Request<'_>,
        context: Context<'_>,
    ) -> Acquired {
        let mut cell = lock(&self.cell);
        let (verdict, effects) = cell.state.acquire(request, context.moment());
        let acquired = match verdict {
            Verdict::Use(grant) => Acquired::Now(Ok(Granted { grant, early: None })),
            Verdict::Refuse(refusal) => Acquired::Now(Err(refusal)),
            Verdict::Wait { waiter, deadline } => {
                let (tell, told) = oneshot::channel();
                cell.waiting.insert(waiter, tell);
                Acquired::Later(waiter, deadline, told)
            }
        };
        self.run(&mut cell, effects, None, context.shared);
        acquired
    }

    /// Gives a unit back; says whether the Machine goes on taking calls.
    pub(crate) fn release(
        self: &Arc<Self>,
        grant: &Grant,
        fate: Fate,
        context: Context<'_>,
    ) -> bool {
        self.give_back(&mut lock(&self.cell), grant, fate, context)
    }

    fn give_back(
        self: &Arc<Self>,
        cell: &mut Cell,
        grant: &Grant,
        fate: Fate,
        context: Context<'_>,
    ) -> bool {
        if cell.state.is_guest() && cell.state.counts(grant.key) {
            context.shared.heir.tell(Elder::Release {
                app: self.name.clone(),
                machine: grant.machine.id.clone(),
                port: grant.inner(),
            });
        }
        let (takes_calls, effects) = cell.state.release(grant.key, fate, context.moment());
        self.run(cell, effects, None, context.shared);
        takes_calls
    }

    /// A Machine that was tried with one call answered it.
    pub(crate) fn answered(self: &Arc<Self>, grant: &Grant, context: Context<'_>) {
        self.change(context, |state, at| state.answered(grant.key, at));
    }

    /// A health check was run; says when to run it again.
    pub(crate) fn checked(self: &Arc<Self>, run: Run<'_>, context: Context<'_>) -> RunWish {
        let mut cell = lock(&self.cell);
        let (wish, effects) = cell.state.checked(run, context.moment());
        self.run(&mut cell, effects, None, context.shared);
        wish
    }

    /// The Machine refused a connection.
    pub(crate) fn refused(&self, grant: &Grant, shared: &Shared) {
        let mut cell = lock(&self.cell);
        cell.state.refused(grant.key);
        if cell.state.is_guest() {
            shared.heir.tell(Elder::Unreachable {
                app: self.name.clone(),
                machine: grant.machine.id.clone(),
                port: grant.inner(),
            });
        }
    }

    /// Ends a wait: out of the line, or an answer on its way is given back.
    pub(crate) fn leave(
        self: &Arc<Self>,
        waiter: WaiterId,
        told: &mut oneshot::Receiver<Answer>,
        context: Context<'_>,
    ) {
        let mut cell = lock(&self.cell);
        cell.waiting.remove(&waiter);
        if cell.state.cancel(waiter) {
            self.unask(&cell, waiter, context.shared);
            return;
        }
        if let Ok(Ok(granted)) = told.try_recv() {
            self.give_back(&mut cell, &granted.grant, Fate::Unknown, context);
        }
    }

    fn unask(&self, cell: &Cell, waiter: WaiterId, shared: &Shared) {
        if cell.state.is_guest() {
            let (app, waiter) = (self.name.clone(), waiter.0);
            shared.heir.tell(Elder::Unask { app, waiter });
        }
    }

    /// A wait passed its deadline; `None` when its answer is on its way.
    pub(crate) fn timed_out(
        self: &Arc<Self>,
        waiter: WaiterId,
        context: Context<'_>,
    ) -> Option<Refusal> {
        let mut cell = lock(&self.cell);
        let (refusal, effects) = cell.state.timed_out(waiter, context.moment())?;
        cell.waiting.remove(&waiter);
        self.unask(&cell, waiter, context.shared);
        self.run(&mut cell, effects, None, context.shared);
        Some(refusal)
    }

    /// A Machine was created or changed.
    pub(crate) fn put(self: &Arc<Self>, machine: Arc<Machine>, context: Context<'_>) {
        self.change(context, |state, at| state.put(machine, at));
    }

    /// A Machine is gone.
    pub(crate) fn remove(self: &Arc<Self>, machine: &str, context: Context<'_>) {
        self.change(context, |state, at| state.remove(machine, at));
    }

    /// A wake came to nothing.
    pub(crate) fn wake_failed(
        self: &Arc<Self>,
        machine: &str,
        code: &Name,
        message: &Name,
        context: Context<'_>,
    ) {
        self.change(context, |state, at| {
            state.wake_failed(machine, code, message, at)
        });
    }

    /// Takes a Machine out of service; gives whether it took hold, and its load.
    pub(crate) fn drain(
        self: &Arc<Self>,
        machine: &str,
        if_idle: bool,
        context: Context<'_>,
    ) -> Option<(bool, u32)> {
        let mut cell = lock(&self.cell);
        let (drained, load, effects) = cell.state.drain(machine, if_idle, context.moment())?;
        self.run(&mut cell, effects, None, context.shared);
        Some((drained, load))
    }

    /// A port accepted `stream`: the first in line gets it.
    pub(crate) fn ready(self: &Arc<Self>, probe: &Probe, stream: TcpStream, context: Context<'_>) {
        let mut cell = lock(&self.cell);
        let port = probe.internal_port;
        let (after, effects) = cell.state.ready(probe.epoch, port, context.moment());
        if let Some(after_us) = after {
            let machine = probe.machine.id.clone();
            context.shared.up(Up::Ready {
                machine,
                port,
                after_us,
            });
        }
        let early = Some((probe.machine.id.clone(), port, stream));
        self.run(&mut cell, effects, early, context.shared);
    }

    /// What the holder of a unit sent was taken.
    pub(crate) fn accepted(self: &Arc<Self>, grant: &Grant, context: Context<'_>) {
        let mut cell = lock(&self.cell);
        let (after, effects) = cell.state.accepted(grant.key, context.moment());
        if let Some(after_us) = after {
            let (machine, port) = (grant.machine.id.clone(), grant.internal_port);
            context.shared.up(Up::Ready {
                machine,
                port,
                after_us,
            });
        }
        self.run(&mut cell, effects, None, context.shared);
    }

    /// Whether a port has still to be tried.
    pub(crate) fn probe_wish(&self, probe: &Probe) -> ProbeWish {
        lock(&self.cell)
            .state
            .probe_wish(probe.epoch, probe.internal_port)
    }

    /// Nobody tries the port any more.
    pub(crate) fn probe_ended(&self, probe: &Probe) {
        lock(&self.cell)
            .state
            .probe_ended(probe.epoch, probe.internal_port);
    }

    /// What happened since the last report: loads, and how many wait. Puts the app back on the list
    /// of active ones when it goes on.
    pub(crate) fn report(self: &Arc<Self>, shared: &Shared) -> (Vec<LoadLine>, usize) {
        let mut cell = lock(&self.cell);
        cell.listed = false;
        let lines = cell.state.report_load();
        let waiting = cell.state.waiting();
        self.list(&mut cell, shared);
        (lines, waiting)
    }

    /// Machines whose wake is in flight; with `awaited` only those that somebody waits for.
    pub(crate) fn wakes(&self, awaited: bool) -> Vec<Arc<Machine>> {
        lock(&self.cell).state.wakes(awaited)
    }

    /// Another process decides from now on: tells it what is under way here, and who waits.
    pub(crate) fn hand_over(&self, shared: &Shared) {
        let mut cell = lock(&self.cell);
        let HandedOver {
            units,
            draining,
            asks,
        } = cell.state.hand_over();
        for watch in cell.state.watched() {
            shared.checker.unwatch(watch.machine.id.clone());
        }
        let app = self.name.clone();
        if !units.is_empty() || !draining.is_empty() {
            shared.heir.tell(Elder::Load {
                app,
                units,
                draining,
            });
        }
        for ask in asks {
            self.ask(ask, shared);
        }
    }

    /// It came to nothing: decides again.
    pub(crate) fn take_back(self: &Arc<Self>, context: Context<'_>) {
        self.change(context, AppState::take_back);
    }

    /// The process that decides gave a unit to one who waits; it gets it back when nobody does.
    pub(crate) fn granted(
        self: &Arc<Self>,
        waiter: WaiterId,
        machine: &Arc<Machine>,
        port: TransportPort,
        context: Context<'_>,
    ) {
        let mut cell = lock(&self.cell);
        let granted = cell.state.granted(waiter, machine, port, context.moment());
        if let Some(grant) = granted {
            cell.answer(waiter, Ok(Granted { grant, early: None }));
            self.list(&mut cell, context.shared);
        } else {
            cell.answer(waiter, Err(Refusal::Exhausted));
            let (app, machine) = (self.name.clone(), machine.id.clone());
            context
                .shared
                .heir
                .tell(Elder::Release { app, machine, port });
        }
    }

    /// The process that decides had nothing for one who waits.
    pub(crate) fn refused_there(
        self: &Arc<Self>,
        waiter: WaiterId,
        refusal: Refusal,
        shared: &Shared,
    ) {
        let mut cell = lock(&self.cell);
        let effects = cell.state.refused_there(waiter, refusal);
        self.run(&mut cell, effects.into_iter().collect(), None, shared);
    }

    /// Counts units that another process holds; as many as there still is a Machine for.
    pub(crate) fn count_units(
        self: &Arc<Self>,
        machine: &str,
        port: TransportPort,
        units: u32,
        shared: &Shared,
    ) -> Vec<Grant> {
        let mut cell = lock(&self.cell);
        let counted = (0..units).map_while(|_| cell.state.count_unit(machine, port));
        let counted = counted.collect();
        self.list(&mut cell, shared);
        counted
    }

    /// Goes on with a drain that another process began.
    pub(crate) fn continue_drain(&self, machine: &str) {
        lock(&self.cell).state.continue_drain(machine);
    }

    fn ask(&self, plea: Plea, shared: &Shared) {
        let wished = |wish: Box<Wish>| {
            Box::new(Wished {
                instance: wish.instance,
                regions: wish.regions,
                strict: wish.strict,
            })
        };
        shared.heir.tell(Elder::Ask {
            app: self.name.clone(),
            waiter: plea.waiter.0,
            port: plea.port,
            exclude: plea.exclude,
            wish: plea.wish.map(wished),
        });
    }

    fn change(
        self: &Arc<Self>,
        context: Context<'_>,
        transition: impl FnOnce(&mut AppState, Moment<'_>) -> Vec<Effect>,
    ) {
        let mut cell = lock(&self.cell);
        let effects = transition(&mut cell.state, context.moment());
        self.run(&mut cell, effects, None, context.shared);
    }

    fn run(
        self: &Arc<Self>,
        cell: &mut Cell,
        effects: Vec<Effect>,
        mut early: Option<(Name, u16, TcpStream)>,
        shared: &Shared,
    ) {
        // First: an agent that hears of a wake may ask at once for all of them.
        self.list(cell, shared);
        for effect in effects {
            match effect {
                Effect::Grant(waiter, grant) => {
                    let fits = |(machine, port, _): &mut (Name, u16, TcpStream)| {
                        *machine == grant.machine.id && *port == grant.internal_port
                    };
                    let early = early.take_if(fits).map(|(_, _, stream)| stream);
                    cell.answer(waiter, Ok(Granted { grant, early }));
                }
                Effect::Fail(waiter, refusal) => cell.answer(waiter, Err(refusal)),
                Effect::Wake(machine) => {
                    let (machine, app) = (machine.id.clone(), self.name.clone());
                    shared.up(Up::Wake { machine, app });
                }
                Effect::Probe(probe) => shared.prober.probe(self.clone(), probe),
                Effect::Ask(ask) => self.ask(ask, shared),
                Effect::Watch(watch) => shared.checker.watch(self.clone(), watch),
                Effect::Unwatch(machine) => shared.checker.unwatch(machine),
                Effect::Hurry(machine, life) => shared.checker.hurry(machine, life),
                Effect::Ejected {
                    machine,
                    code,
                    pause,
                } => self.tell_ejected(&machine, code, pause, shared),
                Effect::Restored(machine) => {
                    let message = format!("machine {machine} answers and gets calls again");
                    let machine = Some(&*machine);
                    shared.log_at(Level::Info, &self.name, machine, None, &message, None);
                }
            }
        }
    }

    fn tell_ejected(&self, machine: &Name, code: &str, pause: Micros, shared: &Shared) {
        let message = format!(
            "machine {machine} did not answer several calls in a row, the last with {code}: it gets none \
             for {} s while others take them",
            pause / 1_000_000
        );
        let machine = Some(&**machine);
        shared.log_at(Level::Warn, &self.name, machine, Some(code), &message, None);
    }

    fn list(self: &Arc<Self>, cell: &mut Cell, shared: &Shared) {
        let active = cell.state.is_active() || cell.state.waiting() > 0;
        if active && !cell.listed {
            cell.listed = true;
            lock(&shared.active).push(self.clone());
        }
    }
}

impl Cell {
    fn answer(&mut self, waiter: WaiterId, answer: Answer) {
        // A waiter takes itself out under the same lock before it goes, so somebody listens.
        if let Some(tell) = self.waiting.remove(&waiter) {
            drop(tell.send(answer));
        }
    }
}
