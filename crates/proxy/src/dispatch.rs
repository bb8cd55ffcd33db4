//! From an accepted connection to what serves it: which app is meant, whether it may be called, and how.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use roost_core::{Call, Handling, Offer, Table};
use roost_wire::{Handler, Level, Machine, Name, Port, Protocol};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use crate::applog::{CROWDED, NOT_ALLOWED, Text};
use crate::buffer::Buffer;
use crate::client::reset;
use crate::route::Target;
use crate::shared::Shared;
use crate::sources::Held;
use crate::worker::Worker;
use crate::{by_name, http, proxy_proto, tcp, tls};

/// A connection that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    /// The network it came from.
    pub(crate) network: Name,
    /// Where it came from.
    pub(crate) client: SocketAddr,
    /// The address and port that was called.
    pub(crate) local: SocketAddr,
    /// It came over a public network.
    pub(crate) public: bool,
}

/// Who is meant by a name.
pub(crate) enum Named {
    /// An app, which may be called.
    App(Target),
    /// An app that must not be called. Its log has the reason; the caller is told what it would be if
    /// there were none.
    Denied,
    /// No app.
    Nobody,
}

/// Why a call to an app is not served.
struct Denial {
    app: Name,
    reason: Reason,
}

enum Reason {
    /// No Machine has the port.
    NotServed,
    /// The port is not offered at this address.
    NotHere,
    /// The caller, if it is a known Machine, is not in the list.
    NotAllowed(Option<Arc<Machine>>),
    /// The port asks for what this proxy cannot do.
    Handler(Handler),
    /// Callers have to begin with a header, at an address where they have to begin with a name.
    Unnamed,
}

/// A call that may be served.
struct Admitted {
    app: Name,
    port: Arc<Port>,
    caller: Option<Arc<Machine>>,
}

/// What becomes of a connection.
enum Decision {
    Serve(Target),
    /// The caller has to say which app it means.
    AskName,
    Refuse,
}

/// Serves a connection, or resets it. Nothing is read before it is known that the caller may call.
/// `public` says that the network is a public one.
pub(crate) fn dispatch(
    worker: &Rc<Worker>,
    network: &Name,
    public: bool,
    stream: TcpStream,
    client: SocketAddr,
) {
    let Ok(local) = stream.local_addr() else {
        reset(stream);
        return;
    };
    let inbound = Inbound {
        network: network.clone(),
        client,
        local,
        public,
    };
    let Some(counted) = Counted::of_source(worker, &inbound, public) else {
        inbound.log_crowded(worker);
        return reset(stream);
    };
    let worker = worker.clone();
    // The futures are made inside their tasks: one that is handed in takes its room twice.
    match inbound.decide(&worker) {
        Decision::Refuse => reset(stream),
        Decision::AskName => drop(spawn_local(async move {
            let _counted = counted;
            by_name::serve(worker, stream, inbound).await;
        })),
        Decision::Serve(target) if target.service_port.accept_proxy_proto => {
            drop(spawn_local(async move {
                let _counted = counted;
                serve_proxied(worker, stream, target).await;
            }));
        }
        Decision::Serve(target) => begin(worker, stream, target, counted),
    }
}

/// Has a task of its own, no larger than it has to be, serve a connection.
fn begin(worker: Rc<Worker>, stream: TcpStream, target: Target, counted: Counted) {
    let first = Buffer::default();
    match Handling::of(&target.service_port) {
        Handling::Raw => drop(spawn_local(async move {
            let _counted = counted;
            tcp::serve(worker, stream, target, first).await;
        })),
        Handling::Http => drop(spawn_local(async move {
            let _counted = counted;
            http::serve(worker, stream, target, first).await;
        })),
        Handling::Tls | Handling::PgTls => drop(spawn_local(async move {
            let _counted = counted;
            tls::serve(worker, stream, target, first).await;
        })),
    }
}

/// Serves a connection once its PROXY header has said whose it is. Who may call was decided by who really
/// calls. All in one task: the connection's group wakes the one that read the header.
async fn serve_proxied(worker: Rc<Worker>, mut stream: TcpStream, mut target: Target) {
    let Some(first) = proxy_proto::read(&worker, &mut stream, &mut target).await else {
        return reset(stream);
    };
    match Handling::of(&target.service_port) {
        Handling::Raw => tcp::serve(worker, stream, target, first).await,
        Handling::Http => http::serve(worker, stream, target, first).await,
        Handling::Tls | Handling::PgTls => tls::serve(worker, stream, target, first).await,
    }
}

impl Inbound {
    fn decide(&self, worker: &Rc<Worker>) -> Decision {
        let admitted = {
            let (table, local) = (worker.shared.table(), self.local);
            match table.call(&self.network, local.ip(), local.port()) {
                Call::Shared => return Decision::AskName,
                Call::Unknown => return Decision::Refuse,
                Call::Offered(offer) => self.admit(&table, offer, check_handlers),
                Call::NotServed(app) => Err(Denial::new(&app.id, Reason::NotServed)),
                Call::NotHere(app) => Err(Denial::new(&app.id, Reason::NotHere)),
            }
        };
        let target = self.target(worker, admitted, None);
        target.map_or(Decision::Refuse, Decision::Serve)
    }

    /// Where a flow of datagrams goes, `None` when nowhere: nobody can say by a name whom it means.
    pub(crate) fn flow_target(&self, worker: &Rc<Worker>) -> Option<Target> {
        let admitted = {
            let (table, local) = (worker.shared.table(), self.local);
            match table.call_over(Protocol::Udp, &self.network, local.ip(), local.port()) {
                Call::Shared | Call::Unknown => return None,
                Call::Offered(offer) => self.admit(&table, offer, no_handlers),
                Call::NotServed(app) => Err(Denial::new(&app.id, Reason::NotServed)),
                Call::NotHere(app) => Err(Denial::new(&app.id, Reason::NotHere)),
            }
        };
        self.target(worker, admitted, None)
    }

    /// What the caller means by a name in lower case, at an address that several apps share.
    pub(crate) fn target_by_name(&self, worker: &Rc<Worker>, name: &str) -> Named {
        let admitted = {
            let (table, local) = (worker.shared.table(), self.local);
            match table.call_by_name(&self.network, local.ip(), local.port(), name) {
                Some(offer) if offer.port.accept_proxy_proto => {
                    Err(Denial::new(&offer.app.id, Reason::Unnamed))
                }
                Some(offer) => self.admit(&table, offer, check_handlers),
                None => return Named::Nobody,
            }
        };
        let target = self.target(worker, admitted, Some(name.into()));
        target.map_or(Named::Denied, Named::App)
    }

    fn admit(
        &self,
        table: &Table,
        offer: Offer<'_>,
        check: impl Fn(&Offer<'_>) -> Result<(), Denial>,
    ) -> Result<Admitted, Denial> {
        let known = offer.is_guarded() || offer.port.is_http();
        let caller = known.then(|| self.caller(table)).flatten();
        if !may_call(table, &offer, caller) {
            let reason = Reason::NotAllowed(caller.cloned());
            return Err(Denial::new(&offer.app.id, reason));
        }
        check(&offer)?;
        Ok(Admitted {
            app: offer.app.id.clone(),
            port: offer.port.clone(),
            caller: caller.cloned(),
        })
    }

    /// The Machine that calls; the source guard of its network's router vouches for its address.
    fn caller<'t>(&self, table: &'t Table) -> Option<&'t Arc<Machine>> {
        match self.client.ip() {
            IpAddr::V6(ip) => table.machine_at(&self.network, &ip),
            IpAddr::V4(_) => None,
        }
    }

    fn target(
        &self,
        worker: &Rc<Worker>,
        admitted: Result<Admitted, Denial>,
        name: Option<Name>,
    ) -> Option<Target> {
        let shared = &worker.shared;
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(denial) => {
                self.log(shared, &denial);
                return None;
            }
        };
        Some(Target {
            app: shared.app(&admitted.app)?,
            port: self.local.port(),
            service_port: admitted.port,
            network: self.network.clone(),
            client: self.client,
            peer: self.client.ip(),
            local: self.local,
            public: self.public,
            proxied: None,
            caller: admitted.caller,
            name,
            group: worker
                .groups
                .enter(&admitted.app, &self.network, self.local.ip()),
        })
    }

    fn log(&self, shared: &Shared, denial: &Denial) {
        let (level, code) = match denial.reason {
            Reason::NotAllowed(_) => (Level::Warn, NOT_ALLOWED),
            _ => (Level::Error, "PR01"),
        };
        let text = || Text::from(self.explain(&denial.reason));
        shared.log_with(level, &denial.app, None, Some(code), text);
    }

    /// Says in the log of the called app, if it is clear which, that the caller has too many connections.
    fn log_crowded(&self, worker: &Worker) {
        let (shared, local) = (&worker.shared, self.local);
        let app = match shared.table().call(&self.network, local.ip(), local.port()) {
            Call::Offered(offer) => offer.app.id.clone(),
            Call::NotServed(app) | Call::NotHere(app) => app.id.clone(),
            Call::Shared | Call::Unknown => return,
        };
        let text = || {
            let most = shared.most_of_a_source(&worker.config().settings);
            let (client, port) = (self.client.ip(), local.port());
            Text::from(format!(
                "a call from {client} to port {port} was reset: its source has {most} connections already"
            ))
        };
        shared.log_with(Level::Warn, &app, None, Some(CROWDED), text);
    }

    /// A reason in the words for the called app's log.
    fn explain(&self, reason: &Reason) -> String {
        let (ip, port) = (self.local.ip(), self.local.port());
        match reason {
            Reason::NotServed => format!("no service of the app is on port {port}"),
            Reason::NotHere => format!("port {port} of the app is not offered at {ip}"),
            Reason::NotAllowed(Some(caller)) => format!(
                "machine {} of the app {} may not call port {port}",
                caller.id, caller.app
            ),
            Reason::NotAllowed(None) => format!(
                "{}, which is no known machine, may not call port {port}",
                self.client.ip()
            ),
            Reason::Unnamed => format!(
                "port {port} has accept_proxy_proto, which does not work at {ip}, an address that apps share"
            ),
            Reason::Handler(handler) => {
                format!("port {port} has the handler {handler:?}, which is not served")
            }
        }
    }
}

impl Denial {
    fn new(app: &Name, reason: Reason) -> Self {
        let app = app.clone();
        Self { app, reason }
    }
}

/// Whether the lists of the called Machines let `caller` pass. Its app, and so its organization, is looked up
/// only where there is a list.
fn may_call(table: &Table, offer: &Offer<'_>, caller: Option<&Arc<Machine>>) -> bool {
    if !offer.is_guarded() {
        return true;
    }
    let app = caller.and_then(|machine| table.app(&machine.app));
    offer.allows(app.map(AsRef::as_ref))
}

/// Refuses what the port's handlers ask for and this proxy cannot do.
fn check_handlers(offer: &Offer<'_>) -> Result<(), Denial> {
    match offer.port.unserved() {
        Some(handler) => Err(Denial::new(&offer.app.id, Reason::Handler(handler))),
        None => Ok(()),
    }
}

/// Refuses any handler: none is for datagrams.
fn no_handlers(offer: &Offer<'_>) -> Result<(), Denial> {
    match offer.port.handlers.first() {
        Some(handler) => Err(Denial::new(&offer.app.id, Reason::Handler(*handler))),
        None => Ok(()),
    }
}

/// Counts an open client connection while it lives.
#[derive(Debug)]
pub(crate) struct Counted {
    shared: Arc<Shared>,
    public: bool,
    of_source: Option<Held>,
}

impl Counted {
    /// Counts one for its source too; `None` when that has as many as it may have.
    fn of_source(worker: &Worker, inbound: &Inbound, public: bool) -> Option<Self> {
        let shared = &worker.shared;
        let most = shared.most_of_a_source(&worker.config().settings);
        let (network, client) = (&inbound.network, inbound.client.ip());
        let held = shared.sources.enter(network, client, public, most)?;
        let mut counted = Self::new(shared, public);
        counted.of_source = Some(held);
        Some(counted)
    }

    pub(crate) fn new(shared: &Arc<Shared>, public: bool) -> Self {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        if public {
            shared.from_outside.fetch_add(1, Ordering::Relaxed);
        }
        let shared = shared.clone();
        Self {
            shared,
            public,
            of_source: None,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let before = self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        if before == 1 && self.shared.stopping() {
            self.shared.quiet.notify_one();
        }
        if self.public {
            self.shared.from_outside.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
