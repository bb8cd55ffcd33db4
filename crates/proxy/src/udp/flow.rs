//! One flow: held until a Machine takes its datagrams, then relayed until nothing was said for a while.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::pin;
use std::rc::Rc;

use roost_core::Micros;
use roost_wire::Name;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep_until;

use crate::route::{Slot, Target};
use crate::udp::flows::Key;
use crate::udp::held::Held;
use crate::udp::open;
use crate::udp::socket::{Listener, receive, send};
use crate::worker::Worker;

/// Answers passed on before other tasks of the thread have their turn.
const BATCH: usize = 32;
/// How long a flow that was turned away goes on for what its Machine still answers.
const LINGER: Micros = 2_000_000;

/// One flow, as those see it who have something for it.
pub(super) struct Flow {
    pub(super) key: Key,
    /// When something was last said in either direction.
    last: Cell<Micros>,
    stage: RefCell<Stage>,
    machine: RefCell<Option<Name>>,
    turned_away: Cell<bool>,
    leaving: Cell<bool>,
    failure: Cell<Option<io::ErrorKind>>,
    nudge: Notify,
}

enum Stage {
    /// No Machine has taken a datagram yet.
    Held(Held),
    /// Datagrams go to a Machine.
    Open(Rc<UdpSocket>),
    Over,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Sent or held.
    Taken,
    /// There was no room for it.
    Dropped,
}

impl Flow {
    /// A flow that holds its first datagrams.
    pub(super) fn new(key: Key, held: Held, now: Micros) -> Self {
        Self {
            key,
            last: Cell::new(now),
            stage: RefCell::new(Stage::Held(held)),
            machine: RefCell::default(),
            turned_away: Cell::new(false),
            leaving: Cell::new(false),
            failure: Cell::new(None),
            nudge: Notify::new(),
        }
    }

    /// Passes on or holds a datagram of the caller.
    pub(super) fn deliver(&self, datagram: &[u8], now: Micros) -> Fate {
        self.last.set(now);
        let taken = match &mut *self.stage.borrow_mut() {
            Stage::Held(held) => held.push(datagram),
            Stage::Open(socket) => self.sent(send(socket, datagram)),
            Stage::Over => false,
        };
        if taken { Fate::Taken } else { Fate::Dropped }
    }

    fn sent(&self, result: io::Result<usize>) -> bool {
        let Err(error) = result else {
            return true;
        };
        if is_the_end(error.kind()) {
            self.failure.set(Some(error.kind()));
            self.nudge.notify_one();
        }
        false
    }

    /// The Machine that the flow goes to.
    pub(super) fn machine(&self) -> Option<Name> {
        self.machine.borrow().clone()
    }

    /// Whether no Machine has taken a datagram yet.
    pub(super) fn is_held(&self) -> bool {
        matches!(*self.stage.borrow(), Stage::Held(_))
    }

    /// Its Machine takes nothing new.
    pub(super) fn turn_away(&self) {
        self.turned_away.set(true);
        self.nudge.notify_one();
    }

    /// What the caller sends next comes to another process.
    pub(super) fn leave(&self) {
        self.leaving.set(true);
        self.nudge.notify_one();
    }

    /// A Machine was found for it.
    pub(super) fn goes_to(&self, machine: &Name) {
        *self.machine.borrow_mut() = Some(machine.clone());
        self.turned_away.set(false);
    }

    /// Ends when the Machine takes nothing new.
    pub(super) async fn turned(&self) {
        while !self.turned_away.get() {
            self.nudge.notified().await;
        }
    }

    /// Sends the first datagram that is held; `false` when there is none.
    pub(super) fn send_first(&self, socket: &UdpSocket) -> io::Result<bool> {
        match &*self.stage.borrow() {
            Stage::Held(held) => match held.first() {
                Some(datagram) => send(socket, datagram).map(|_| true),
                None => Ok(false),
            },
            _ => Ok(false),
        }
    }

    /// The first datagram was taken.
    pub(super) fn pop_first(&self) {
        if let Stage::Held(held) = &mut *self.stage.borrow_mut() {
            held.pop();
        }
    }

    /// Sends all that is held; from now on datagrams go straight to the socket.
    fn open(&self, socket: &Rc<UdpSocket>) {
        loop {
            match self.send_first(socket) {
                Ok(true) => self.pop_first(),
                Ok(false) => break,
                Err(error) => {
                    self.sent(Err(error));
                    break;
                }
            }
        }
        self.stage.replace(Stage::Open(socket.clone()));
    }

    /// Whether what the caller sends next is not for it.
    fn is_ending(&self) -> bool {
        self.turned_away.get() || self.leaving.get()
    }

    /// When it is over: nothing was said for a while, or it has been ending for long enough, whatever its Machine
    /// still says.
    fn due(&self, idle: Micros, ending: Option<Micros>) -> Micros {
        let quiet = self.last.get().saturating_add(idle);
        let latest = ending.map_or(Micros::MAX, |since| since.saturating_add(LINGER.min(idle)));
        quiet.min(latest)
    }
}

/// Serves a flow to its end.
pub(super) async fn run(worker: &Rc<Worker>, flow: &Rc<Flow>, target: &Target, outlet: &Listener) {
    let serving = pin!(serve(worker, flow, target, outlet));
    target.group.unless_over(serving).await;
    worker.flows.remove(flow);
    flow.stage.replace(Stage::Over);
}

async fn serve(worker: &Rc<Worker>, flow: &Rc<Flow>, target: &Target, outlet: &Listener) {
    let Some((slot, socket)) = open::open(worker, flow, target).await else {
        return;
    };
    flow.open(&socket);
    if flow.is_ending() {
        worker.flows.remove(flow);
    }
    if let Some(kind) = relay(worker, flow, &socket, outlet).await {
        slot.refused();
        let error = io::Error::from(kind);
        let message = refusal(&slot, target, &error);
        let machine = Some(&**slot.machine());
        let log = &worker.shared;
        log.log(&target.app.name, machine, "PC01", &message, None);
    }
}

/// What the app's log is told when a Machine's port takes no datagrams.
pub(super) fn refusal(slot: &Slot, target: &Target, error: &io::Error) -> String {
    let (machine, port) = (slot.machine(), target.port);
    format!(
        "machine {machine} took no datagrams on UDP port {port} ({error}); does the app listen on \
         fly-global-services:{port} or 0.0.0.0:{port}?"
    )
}

/// Passes answers on until nothing was said for a while (`None`) or the Machine cannot be spoken to.
async fn relay(
    worker: &Rc<Worker>,
    flow: &Flow,
    socket: &UdpSocket,
    outlet: &Listener,
) -> Option<io::ErrorKind> {
    let idle = worker.config().settings.udp_idle_ms.saturating_mul(1_000);
    let shared = &worker.shared;
    let mut ending = flow.is_ending().then(|| shared.now());
    let mut sleep = pin!(sleep_until(shared.instant(flow.due(idle, ending))));
    loop {
        tokio::select! {
            biased;
            () = flow.nudge.notified() => {
                if let Some(kind) = flow.failure.take() {
                    return Some(kind);
                }
                if flow.is_ending() {
                    ending = ending.or_else(|| Some(shared.now()));
                }
                sleep.as_mut().reset(shared.instant(flow.due(idle, ending)));
            }
            () = &mut sleep => {
                let due = flow.due(idle, ending);
                if shared.now() >= due {
                    return None;
                }
                sleep.as_mut().reset(shared.instant(due));
            }
            // Last: a Machine may have something to say all the time.
            _ = socket.ready(Interest::READABLE | Interest::ERROR) => {
                if let Err(error) = answer(worker, flow, socket, outlet) {
                    return Some(error.kind());
                }
                yield_now().await;
            }
        }
    }
}

/// Passes on what the Machine has answered.
fn answer(worker: &Worker, flow: &Flow, socket: &UdpSocket, outlet: &Listener) -> io::Result<()> {
    let mut buffer = worker.flows.take_buffer();
    let mut result = Ok(());
    for _ in 0..BATCH {
        match receive(socket, &mut buffer) {
            Ok(length) => {
                let datagram = buffer.get(..length).unwrap_or_default();
                if outlet
                    .send(flow.key.local.ip(), flow.key.client, datagram)
                    .is_err()
                {
                    worker.shared.udp.drop_one();
                }
                flow.last.set(worker.shared.now());
            }
            Err(error) if is_the_end(error.kind()) => {
                result = Err(error);
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // About one datagram, such as one that was too long for a link.
            Err(_) => {}
        }
    }
    worker.flows.give_buffer(buffer);
    result
}

/// Whether the Machine cannot be spoken to any more on this socket.
fn is_the_end(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(
        kind,
        ConnectionRefused | HostUnreachable | NetworkUnreachable
    )
}
