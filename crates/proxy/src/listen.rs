//! The listeners of one worker thread: one per network namespace and external port, whatever the
//! number of apps, one for all port ranges together, or one per address and port where the network is
//! public. Every worker has its own socket at the same place, so the kernel spreads connections and each
//! stays on its thread.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use roost_core::Place;
use roost_wire::{Level, Name, Protocol};
use socket2::TcpKeepalive;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, spawn_local, yield_now};

use crate::applog::Text;
use crate::dispatch::dispatch;
use crate::dns;
use crate::netns::{Netns, RANGES};
use crate::shared::Shared;
use crate::sockets::Held;
use crate::udp::Taker;
use crate::worker::Worker;

/// How long accepting rests when the process has no room for another connection.
const BACK_OFF: Duration = Duration::from_millis(20);
/// When a silent caller is asked whether it is still there, and when it is taken for gone.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);
/// Ports of a range at a public address: each is a socket, since no rule of ours may touch the host's traffic.
/// roostd allows an app no more.
const PUBLIC_RANGE: usize = 256;
/// Those of all ranges at one address, which apps may share.
const PUBLIC_RANGES: usize = 4 * PUBLIC_RANGE;
/// How long until a listener that could not be opened is tried again.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// All listeners of one worker.
pub(crate) struct Listeners {
    worker: Rc<Worker>,
    mailbox: usize,
    networks: HashMap<Name, Open>,
    ended: Ended,
}

/// Tasks that were told to end; their sockets are open until they are looked at once more.
type Ended = Rc<RefCell<Vec<AbortHandle>>>;

struct Open {
    netns: Arc<Netns>,
    /// The tasks that accept at each single port: one, or one for each socket that was inherited.
    sockets: HashMap<Place, Vec<Task>>,
    dns: Option<dns::Server>,
    public: bool,
    /// Looks again later at what could not be opened.
    retry: Option<Task>,
    ended: Ended,
}

struct Task {
    handle: AbortHandle,
    ended: Ended,
}

impl Task {
    fn spawn(ended: &Ended, task: impl Future<Output = ()> + 'static) -> Self {
        Self {
            handle: spawn_local(task).abort_handle(),
            ended: ended.clone(),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
        self.ended.borrow_mut().push(self.handle.clone());
    }
}

impl Listeners {
    /// None yet. `mailbox` is the number of the worker.
    pub(crate) fn new(worker: Rc<Worker>, mailbox: usize) -> Self {
        Self {
            worker,
            mailbox,
            networks: HashMap::new(),
            ended: Ended::default(),
        }
    }

    /// Returns once whatever was to be closed is.
    pub(crate) async fn closed(&self) {
        loop {
            self.ended.borrow_mut().retain(|task| !task.is_finished());
            // A place with a thousand ports has more tasks than the runtime looks at in one go.
            yield_now().await;
            if self.ended.borrow().is_empty() {
                return;
            }
        }
    }

    /// Opens and closes all that the table asks for on one network.
    pub(crate) fn reconcile(&mut self, network: &Name) {
        let shared = self.worker.shared.clone();
        let netns = shared.netns(network).filter(|_| shared.listens());
        let Some(netns) = netns else {
            self.close(network);
            return;
        };
        if self
            .networks
            .get(network)
            .is_some_and(|open| !open.netns.same(&netns))
        {
            self.close(network);
        }
        let new = || Open {
            netns,
            sockets: HashMap::new(),
            dns: None,
            public: false,
            retry: None,
            ended: self.ended.clone(),
        };
        let open = self.networks.entry(network.clone()).or_insert_with(new);
        let (wanted, public) = {
            let table = shared.table();
            let public = table.network(network).is_some_and(|value| value.public);
            (table.places(network), public)
        };
        open.public = public;
        let mailbox = self.mailbox;
        let mut fine = open.serve_names(&self.worker, network, mailbox, !public);
        let mut sockets = BTreeSet::new();
        let mut spent = HashMap::new();
        for place in &wanted {
            match sockets_of(place, public, &mut spent) {
                Ok(needed) => sockets.extend(needed),
                Err(error) => cannot(&self.worker.shared, network, place, &error),
            }
        }
        open.sockets.retain(|at, _| sockets.contains(at));
        let stays = |at: &Place| sockets.contains(at) || wanted.binary_search(at).is_ok();
        shared.unbound.retain(network, stays);
        for at in sockets {
            fine &= open.listen(&self.worker, network, mailbox, at);
        }
        if !fine {
            open.look_again(&self.worker, network, self.mailbox);
        }
    }

    /// Closes all that is open on a network. Its flows would answer by sockets that nobody sees any more.
    fn close(&mut self, network: &Name) {
        self.networks.remove(network);
        self.worker.flows.turn_network_away(network);
    }

    /// Opens or closes one place of a network; the rest of it is as the table asks already, or will be
    /// looked at as a whole.
    pub(crate) fn reconcile_at(&mut self, network: &Name, at: Place) {
        if at.is_range() {
            // Ranges share sockets.
            self.reconcile(network);
            return;
        }
        let Some(open) = self.networks.get_mut(network) else {
            return;
        };
        if !self.worker.shared.table().is_place(network, &at) {
            open.sockets.remove(&at);
            self.worker.shared.unbound.remove(network, at);
        } else if !open.listen(&self.worker, network, self.mailbox, at) {
            open.look_again(&self.worker, network, self.mailbox);
        }
    }

    /// Opens or closes everything, as the process's phase asks.
    pub(crate) fn follow(&mut self) {
        let shared = self.worker.shared.clone();
        if !shared.listens() {
            self.networks.clear();
            return;
        }
        let ids: Vec<Name> = {
            let table = shared.table();
            table.networks().map(|network| network.id.clone()).collect()
        };
        for id in &ids {
            self.reconcile(id);
        }
    }
}

impl Open {
    /// Listens at a single port; `false` when that is not possible now.
    fn listen(&mut self, worker: &Rc<Worker>, network: &Name, mailbox: usize, at: Place) -> bool {
        if self.sockets.contains_key(&at) {
            return true;
        }
        match self.open(worker, network, mailbox, at) {
            Ok(tasks) => {
                self.sockets.insert(at, tasks);
                worker.shared.unbound.remove(network, at);
                true
            }
            Err(error) => {
                tracing::warn!(%network, at = %at.at(), %error, "cannot listen");
                if self.public {
                    cannot(&worker.shared, network, &at, &error);
                }
                false
            }
        }
    }

    fn open(
        &self,
        worker: &Rc<Worker>,
        network: &Name,
        mailbox: usize,
        place: Place,
    ) -> io::Result<Vec<Task>> {
        let (public, at) = (self.public, place.at());
        if place.protocol != Protocol::Udp {
            let listeners = open_listeners(worker, &self.netns, at, mailbox)?.into_iter();
            let accept = |listener| accept_all(worker.clone(), network.clone(), public, listener);
            return Ok(listeners
                .map(accept)
                .map(|task| Task::spawn(&self.ended, task))
                .collect());
        }
        let takers = Taker::all(worker, network, public, &self.netns, at, mailbox)?;
        Ok(takers
            .into_iter()
            .map(Taker::run)
            .map(|task| Task::spawn(&self.ended, task))
            .collect())
    }

    /// Serves DNS where that is `wanted`; `false` when it is not possible now.
    fn serve_names(
        &mut self,
        worker: &Rc<Worker>,
        network: &Name,
        mailbox: usize,
        wanted: bool,
    ) -> bool {
        if !wanted {
            self.dns = None;
        } else if self.dns.is_none() {
            match dns::spawn(&worker.shared, network, &self.netns, mailbox) {
                Ok(server) => self.dns = Some(server),
                Err(error) => {
                    tracing::warn!(%network, %error, "cannot serve DNS");
                    return false;
                }
            }
        }
        true
    }

    /// Has the network looked at later as a whole, once, however often it is asked for until then.
    fn look_again(&mut self, worker: &Rc<Worker>, network: &Name, mailbox: usize) {
        let pending = |retry: &Task| !retry.handle.is_finished();
        if self.retry.as_ref().is_some_and(pending) {
            return;
        }
        let Some(mailbox) = worker.shared.mailboxes.get(mailbox).cloned() else {
            return;
        };
        let network = network.clone();
        self.retry = Some(Task::spawn(&self.ended, async move {
            tokio::time::sleep(REOPEN_AFTER).await;
            mailbox.look_at(&network);
        }));
    }
}

/// The sockets that are needed to listen at a place. `spent` counts the ports of ranges at public addresses.
fn sockets_of(
    place: &Place,
    public: bool,
    spent: &mut HashMap<IpAddr, usize>,
) -> io::Result<Vec<Place>> {
    let single = |ip, port| Place::single(place.protocol, SocketAddr::new(ip, port));
    if !place.is_range() {
        return Ok(vec![*place]);
    }
    if !public {
        return Ok(vec![single(RANGES.ip(), RANGES.port())]);
    }
    let ports = place.ports();
    if ports.len() > PUBLIC_RANGE {
        let message = format!("a range at a public address has at most {PUBLIC_RANGE} ports");
        return Err(io::Error::other(message));
    }
    let all = spent.entry(place.ip).or_default();
    if *all + ports.len() > PUBLIC_RANGES {
        let message = format!("its ranges have at most {PUBLIC_RANGES} ports together");
        return Err(io::Error::other(message));
    }
    *all += ports.len();
    Ok(ports.map(|port| single(place.ip, port)).collect())
}

/// A place that cannot be listened at: the apps are told the first time.
fn cannot(shared: &Shared, network: &Name, at: &Place, error: &io::Error) {
    if shared.unbound.add(network, *at) {
        tell_apps(shared, network, at, error);
    }
}

/// Says in the logs of the apps that would be called at a place that it cannot be listened at.
pub(crate) fn tell_apps(shared: &Shared, network: &Name, at: &Place, error: &io::Error) {
    let apps = shared.table().apps_at(network, at);
    let end = at.is_range().then(|| format!("-{}", at.last));
    let (begin, end) = (at.at(), end.unwrap_or_default());
    for app in apps {
        let text = || Text::from(format!("nobody can call {begin}{end}: {error}"));
        shared.log_with(Level::Warn, &app, None, Some("RL01"), text);
    }
}

fn open_listeners(
    worker: &Worker,
    netns: &Netns,
    at: SocketAddr,
    mailbox: usize,
) -> io::Result<Vec<Held<TcpListener>>> {
    let listeners = worker.shared.sockets.tcp(netns, at, mailbox)?;
    for listener in &listeners {
        // Accepted sockets inherit it, which saves a system call each.
        let socket = socket2::SockRef::from(&**listener);
        socket.set_tcp_nodelay(true)?;
        // A caller whose namespace went away without a word would keep its unit of load for ever. A
        // frozen one is no such case: its kernel answers.
        socket.set_tcp_keepalive(&KEEPALIVE)?;
    }
    Ok(listeners)
}

async fn accept_all(worker: Rc<Worker>, network: Name, public: bool, listener: Held<TcpListener>) {
    let shared = worker.shared.clone();
    loop {
        // Room is looked for when somebody comes: every listener would take one more otherwise.
        let accepted = poll_fn(|cx| {
            if shared.has_room(public) {
                return listener.poll_accept(cx).map(Some);
            }
            Poll::Ready(None)
        });
        let Some(accepted) = accepted.await else {
            tokio::time::sleep(BACK_OFF).await;
            continue;
        };
        match accepted {
            Ok((stream, client)) => dispatch(&worker, &network, public, stream, client),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                if shared.resting.is_due(shared.now()) {
                    tracing::warn!(%network, %error, "accepting rests");
                }
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}
