//! The listeners of one worker thread: one per network namespace and external port, whatever the
//! number of apps, or per address and port where the network is public. Every worker has its own socket
//! at the same place, so the kernel spreads connections and each stays on its thread.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use roost_wire::{Level, Name};
use socket2::TcpKeepalive;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, spawn_local};

use crate::applog::Text;
use crate::dispatch::dispatch;
use crate::dns;
use crate::netns::Netns;
use crate::sockets::Held;
use crate::worker::Worker;

/// How long accepting rests when the process has no room for another connection.
const BACK_OFF: Duration = Duration::from_millis(20);
/// When a silent caller is asked whether it is still there, and when it is taken for gone.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);
/// How long until a listener that could not be opened is tried again.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// All listeners of one worker.
pub(crate) struct Listeners {
    worker: Rc<Worker>,
    mailbox: usize,
    networks: HashMap<Name, Open>,
}

struct Open {
    netns: Arc<Netns>,
    /// The tasks that accept at a place: one, or one for each socket that was inherited.
    places: HashMap<SocketAddr, Vec<Task>>,
    dns: Option<dns::Server>,
    public: bool,
    /// Looks again later at what could not be opened.
    retry: Option<Task>,
}

struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listeners {
    /// None yet. `mailbox` is the number of the worker.
    pub(crate) fn new(worker: Rc<Worker>, mailbox: usize) -> Self {
        Self {
            worker,
            mailbox,
            networks: HashMap::new(),
        }
    }

    /// Opens and closes all that the table asks for on one network.
    pub(crate) fn reconcile(&mut self, network: &Name) {
        let shared = self.worker.shared.clone();
        let netns = shared.netns(network).filter(|_| shared.listens());
        let Some(netns) = netns else {
            self.networks.remove(network);
            return;
        };
        if self
            .networks
            .get(network)
            .is_some_and(|open| !open.netns.same(&netns))
        {
            self.networks.remove(network);
        }
        let new = || Open {
            netns,
            places: HashMap::new(),
            dns: None,
            public: false,
            retry: None,
        };
        let open = self.networks.entry(network.clone()).or_insert_with(new);
        let (wanted, public) = {
            let table = shared.table();
            let public = table.network(network).is_some_and(|value| value.public);
            (table.places(network), public)
        };
        open.public = public;
        open.places.retain(|at, _| wanted.binary_search(at).is_ok());
        shared.unbound.retain(network, &wanted);
        let mailbox = self.mailbox;
        let mut fine = open.serve_names(&self.worker, network, mailbox, !public);
        for at in wanted {
            fine &= open.listen(&self.worker, network, mailbox, at);
        }
        if !fine {
            open.look_again(&self.worker, network, self.mailbox);
        }
    }

    /// Opens or closes one place of a network; the rest of it is as the table asks already, or will be
    /// looked at as a whole.
    pub(crate) fn reconcile_at(&mut self, network: &Name, at: SocketAddr) {
        let Some(open) = self.networks.get_mut(network) else {
            return;
        };
        if !self.worker.shared.table().is_place(network, &at) {
            open.places.remove(&at);
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
    /// Listens at a place; `false` when that is not possible now.
    fn listen(
        &mut self,
        worker: &Rc<Worker>,
        network: &Name,
        mailbox: usize,
        at: SocketAddr,
    ) -> bool {
        if self.places.contains_key(&at) {
            return true;
        }
        match open_listeners(worker, &self.netns, at, mailbox) {
            Ok(listeners) => {
                let public = self.public;
                let accept =
                    |listener| accept_all(worker.clone(), network.clone(), public, listener);
                let tasks = listeners.into_iter().map(accept);
                let tasks = tasks.map(|task| Task(spawn_local(task).abort_handle()));
                self.places.insert(at, tasks.collect());
                worker.shared.unbound.remove(network, at);
                true
            }
            Err(error) => {
                tracing::warn!(%network, %at, %error, "cannot listen");
                if self.public && worker.shared.unbound.add(network, at) {
                    tell_apps(worker, network, at, &error);
                }
                false
            }
        }
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
        let pending = |retry: &Task| !retry.0.is_finished();
        if self.retry.as_ref().is_some_and(pending) {
            return;
        }
        let Some(mailbox) = worker.shared.mailboxes.get(mailbox).cloned() else {
            return;
        };
        let network = network.clone();
        let later = spawn_local(async move {
            tokio::time::sleep(REOPEN_AFTER).await;
            mailbox.look_at(&network);
        });
        self.retry = Some(Task(later.abort_handle()));
    }
}

/// Says in the logs of the apps that would be called at a place that it cannot be listened at.
fn tell_apps(worker: &Worker, network: &Name, at: SocketAddr, error: &io::Error) {
    let shared = &worker.shared;
    let apps = shared.table().apps_at(network, at);
    for app in apps {
        let text = || Text::from(format!("nobody can call {at}: {error}"));
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
