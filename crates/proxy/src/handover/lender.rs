//! Counts what an elder process has under way, and gives it the units it still needs.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use roost_core::{Fate, Grant, Request, Wish};
use roost_wire::{Elder, Heir, Name, TransportPort, Wished};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, spawn_local};

use super::channel::Channel;
use crate::app::{Answer, AppHandle, Context};
use crate::worker::Worker;

/// One who waits in the elder: its app and its number there.
type Waiting = (Name, u64);
/// What somebody in the elder wants.
struct Wanted {
    waiting: Waiting,
    port: TransportPort,
    exclude: Vec<Name>,
    wish: Option<Wish>,
}

/// What a unit is for: app, Machine and internal port.
type Use = (Name, Name, TransportPort);
/// A unit that the elder holds, and how to give it back.
type Unit = (Arc<AppHandle>, Grant);
/// What came of an ask; there are never more than asks.
type Answered = (Waiting, Arc<AppHandle>, Answer);

/// One elder process. Dropping it forgets its units, as its end does.
pub(super) struct Lender {
    worker: Rc<Worker>,
    channel: Channel,
    held: HashMap<Use, Vec<Unit>>,
    asks: HashMap<Waiting, AbortHandle>,
    /// Who asked before this process serves, first come first; `None` once it does.
    early: Option<Vec<Wanted>>,
    answer: UnboundedSender<Answered>,
    answered: UnboundedReceiver<Answered>,
    sockets: usize,
}

impl Lender {
    /// Nothing is counted yet.
    pub(super) fn new(worker: &Rc<Worker>, channel: Channel) -> Self {
        worker.shared.lending.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = unbounded_channel();
        Self {
            worker: worker.clone(),
            channel,
            held: HashMap::new(),
            asks: HashMap::new(),
            early: Some(Vec::new()),
            answer,
            answered,
            sockets: 0,
        }
    }

    /// How many sockets came.
    pub(super) fn sockets(&self) -> usize {
        self.sockets
    }

    /// Says a line and waits until it is sent.
    pub(super) async fn say(&mut self, line: &Heir) -> io::Result<()> {
        self.channel.say(line)?;
        self.channel.flush().await
    }

    /// Takes what the elder says until it says `line`.
    pub(super) async fn hear(&mut self, line: &Elder) -> io::Result<()> {
        loop {
            let heard = self.channel.hear().await?;
            if heard == *line {
                return Ok(());
            }
            self.take(heard)?;
        }
    }

    /// Lends until the elder has ended.
    pub(super) async fn run(mut self) {
        for wanted in self.early.take().unwrap_or_default() {
            self.ask(wanted);
        }
        match self.lend().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                tracing::info!("the process before this one has ended");
            }
            other => tracing::warn!(?other, "the process before this one is given up"),
        }
    }

    async fn lend(&mut self) -> io::Result<()> {
        loop {
            while let Some(line) = self.channel.heard()? {
                self.take(line)?;
            }
            tokio::select! {
                turned = self.channel.turn() => turned?,
                Some(answered) = self.answered.recv() => self.tell(answered)?,
            }
        }
    }

    fn take(&mut self, line: Elder) -> io::Result<()> {
        match line {
            Elder::Sockets { sockets } => {
                let descriptors = self.channel.descriptors(sockets.len())?;
                self.sockets += sockets.len();
                let sockets = sockets.into_iter().zip(descriptors);
                self.worker.shared.sockets.inherit(sockets);
            }
            Elder::Load {
                app,
                units,
                draining,
            } => self.count(&app, units, &draining),
            Elder::Ask {
                app,
                waiter,
                port,
                exclude,
                wish,
            } => self.ask(Wanted {
                waiting: (app, waiter),
                port,
                exclude,
                wish: wish.map(|wish| wish_of(*wish)),
            }),
            Elder::Unask { app, waiter } => self.unask(&(app, waiter)),
            Elder::Release { app, machine, port } => {
                let held = self.held.get_mut(&(app, machine, port));
                if let Some((app, grant)) = held.and_then(Vec::pop) {
                    self.release(&app, &grant);
                }
            }
            Elder::Unreachable { app, machine, port } => {
                let held = self.held.get(&(app, machine, port));
                if let Some((app, grant)) = held.and_then(|held| held.last()) {
                    app.refused(grant, &self.worker.shared);
                }
            }
            Elder::Refuse { message } => return Err(io::Error::other(message.to_string())),
            Elder::Given | Elder::Go | Elder::Other => {}
        }
        Ok(())
    }

    fn count(&mut self, name: &Name, units: Vec<(Name, TransportPort, u32)>, draining: &[Name]) {
        let shared = &self.worker.shared;
        // An app that is gone here has no limits to keep.
        let Some(app) = shared.app(name) else {
            return;
        };
        for machine in draining {
            app.continue_drain(machine);
        }
        for (machine, port, units) in units {
            let counted = app.count_units(&machine, port, units, shared);
            let counted = counted.into_iter().map(|grant| (app.clone(), grant));
            let held = self.held.entry((name.clone(), machine, port)).or_default();
            held.extend(counted);
        }
    }

    fn ask(&mut self, wanted: Wanted) {
        if let Some(early) = &mut self.early {
            early.push(wanted);
            return;
        }
        let Wanted {
            waiting,
            port,
            exclude,
            wish,
        } = wanted;
        if self.asks.contains_key(&waiting) {
            return;
        }
        let (worker, answer) = (self.worker.clone(), self.answer.clone());
        let app = worker.shared.app_or_new(&waiting.0);
        let who = waiting.clone();
        let asking = spawn_local(async move {
            let request = Request {
                port,
                exclude: &exclude,
                wish: wish.as_ref(),
                held_bytes: 0,
            };
            let answered = worker.unit(&app, request).await;
            // The elder is given up when nobody receives: this task was ended before.
            drop(answer.send((who, app, answered)));
        });
        self.asks.insert(waiting, asking.abort_handle());
    }

    fn unask(&mut self, waiting: &Waiting) {
        if let Some(early) = &mut self.early {
            early.retain(|wanted| wanted.waiting != *waiting);
        }
        if let Some(asking) = self.asks.remove(waiting) {
            asking.abort();
        }
    }

    fn tell(&mut self, (waiting, app, answer): Answered) -> io::Result<()> {
        let wanted = self.asks.remove(&waiting).is_some();
        let (name, waiter) = waiting;
        match answer {
            Ok(granted) if wanted => {
                let grant = granted.grant;
                let (machine, port) = (grant.machine.clone(), grant.inner());
                let key = (name.clone(), machine.id.clone(), port);
                self.held.entry(key).or_default().push((app, grant));
                let machine = Box::new((*machine).clone());
                self.channel.say(&Heir::Grant {
                    app: name,
                    waiter,
                    machine,
                    port,
                })
            }
            Ok(granted) => {
                self.release(&app, &granted.grant);
                Ok(())
            }
            Err(refusal) if wanted => self.channel.say(&Heir::Refuse {
                app: name,
                waiter,
                code: refusal.code(false).into(),
                http_code: refusal.code(true).into(),
                message: refusal.to_string().into(),
            }),
            Err(_) => Ok(()),
        }
    }

    fn release(&self, app: &Arc<AppHandle>, grant: &Grant) {
        let config = self.worker.config();
        let context = Context::new(&self.worker.shared, &config);
        app.release(grant, Fate::Unknown, context);
    }
}

fn wish_of(wished: Wished) -> Wish {
    let Wished {
        instance,
        regions,
        strict,
    } = wished;
    Wish {
        instance,
        regions,
        strict,
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        for (_, asking) in self.asks.drain() {
            asking.abort();
        }
        while let Ok((_, app, answer)) = self.answered.try_recv() {
            if let Ok(granted) = answer {
                self.release(&app, &granted.grant);
            }
        }
        for (app, grant) in std::mem::take(&mut self.held).into_values().flatten() {
            self.release(&app, &grant);
        }
        self.worker.shared.lending.fetch_sub(1, Ordering::Relaxed);
    }
}
