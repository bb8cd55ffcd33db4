//! The listeners of one worker thread: one per network namespace and external port, whatever the
//! number of apps. Every worker has its own socket on the same port, so the kernel spreads connections
//! and each stays on its thread.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use roost_wire::{Handler, Name, Port};
use socket2::TcpKeepalive;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, spawn_local};

use crate::app::AppHandle;
use crate::netns::Netns;
use crate::route::Target;
use crate::worker::Worker;
use crate::{dns, http, tcp};

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
    closed: bool,
}

struct Open {
    netns: Arc<Netns>,
    ports: HashMap<u16, Task>,
    dns: Option<dns::Server>,
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
            closed: false,
        }
    }

    /// Opens and closes what the table asks for on one network.
    pub(crate) fn reconcile(&mut self, network: &Name) {
        let shared = self.worker.shared.clone();
        let netns = shared.netns(network).filter(|_| !self.closed);
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
            ports: HashMap::new(),
            dns: None,
        };
        let open = self.networks.entry(network.clone()).or_insert_with(new);
        let wanted = shared.table().ports(network);
        open.ports
            .retain(|port, _| wanted.binary_search(port).is_ok());
        let mut failed = open.dns.is_none() && !open.serve_names(&self.worker, network);
        for port in wanted {
            if !open.ports.contains_key(&port) {
                failed |= !open.listen(&self.worker, network, port);
            }
        }
        if failed {
            self.look_again(network);
        }
    }

    /// Closes everything for good.
    pub(crate) fn close_all(&mut self) {
        self.closed = true;
        self.networks.clear();
    }

    fn look_again(&self, network: &Name) {
        let Some(mailbox) = self.worker.shared.mailboxes.get(self.mailbox).cloned() else {
            return;
        };
        let network = network.clone();
        spawn_local(async move {
            tokio::time::sleep(REOPEN_AFTER).await;
            mailbox.look_at(&network);
        });
    }
}

impl Open {
    fn listen(&mut self, worker: &Rc<Worker>, network: &Name, port: u16) -> bool {
        match open_listener(&self.netns, port) {
            Ok(listener) => {
                let accepting = accept_all(worker.clone(), network.clone(), listener);
                self.ports
                    .insert(port, Task(spawn_local(accepting).abort_handle()));
                true
            }
            Err(error) => {
                tracing::warn!(%network, port, %error, "cannot listen");
                false
            }
        }
    }

    fn serve_names(&mut self, worker: &Rc<Worker>, network: &Name) -> bool {
        match dns::spawn(&worker.shared, network, &self.netns) {
            Ok(server) => {
                self.dns = Some(server);
                true
            }
            Err(error) => {
                tracing::warn!(%network, %error, "cannot serve DNS");
                false
            }
        }
    }
}

fn open_listener(netns: &Netns, port: u16) -> io::Result<TcpListener> {
    let listener = netns.listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    // Accepted sockets inherit it, which saves a system call each.
    let socket = socket2::SockRef::from(&listener);
    socket.set_tcp_nodelay(true)?;
    // A caller whose namespace went away without a word would keep its unit of load for ever. A
    // frozen one is no such case: its kernel answers.
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    TcpListener::from_std(listener)
}

async fn accept_all(worker: Rc<Worker>, network: Name, listener: TcpListener) {
    let shared = worker.shared.clone();
    loop {
        if shared.connections.load(Ordering::Relaxed) >= shared.max_connections {
            tokio::time::sleep(BACK_OFF).await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, client)) => dispatch(&worker, &network, stream, client),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%network, %error, "accepting rests");
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

fn dispatch(worker: &Rc<Worker>, network: &Name, stream: TcpStream, client: SocketAddr) {
    let Some(target) = target(worker, network, &stream, client) else {
        tcp::reset(stream);
        return;
    };
    let counted = Counted::new(&worker.shared.connections);
    let worker = worker.clone();
    if target.service_port.is_http() {
        spawn_local(async move {
            let _counted = counted;
            http::serve(worker, stream, target).await;
        });
    } else {
        spawn_local(async move {
            let _counted = counted;
            tcp::serve(worker, stream, target).await;
        });
    }
}

/// What a connection asked for; `None` when nothing serves it.
fn target(
    worker: &Rc<Worker>,
    network: &Name,
    stream: &TcpStream,
    client: SocketAddr,
) -> Option<Target> {
    let local = stream.local_addr().ok()?;
    let shared = &worker.shared;
    let (name, service_port) = {
        let table = shared.table();
        let app = table.app_at(network, &local.ip())?;
        (app.id.clone(), table.port(&app.id, local.port()).cloned())
    };
    let Some(service_port) = service_port else {
        let message = format!("no service of the app is on port {}", local.port());
        shared.log(&name, None, "PR01", &message, None);
        return None;
    };
    let app = shared.app(&name)?;
    served(worker, &app, &service_port).then(|| Target {
        app,
        port: local.port(),
        service_port,
        client,
        local,
    })
}

/// Whether this proxy can do what the port's handlers ask for.
fn served(worker: &Rc<Worker>, app: &AppHandle, port: &Port) -> bool {
    let unserved = port
        .handlers
        .iter()
        .find(|handler| **handler != Handler::Http);
    let Some(handler) = unserved else { return true };
    let message = format!(
        "port {} has the handler {handler:?}, which is not served",
        port.port
    );
    worker.shared.log(&app.name, None, "PR01", &message, None);
    false
}

/// Counts an open client connection while it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
