//! From an accepted connection to what serves it: which app is meant, whether it may be called, and how.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use roost_core::{Call, Offer, Table};
use roost_wire::{Handler, Level, Machine, Name, Port};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use crate::buffer::Buffer;
use crate::route::Target;
use crate::worker::Worker;
use crate::{by_name, http, tcp};

/// A connection that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    /// The network it came from.
    pub(crate) network: Name,
    /// Where it came from.
    pub(crate) client: SocketAddr,
    /// The address and port that was called.
    pub(crate) local: SocketAddr,
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

/// Why a call is not served, in the words for the called app's log.
struct Denial {
    app: Name,
    level: Level,
    code: &'static str,
    message: String,
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
pub(crate) fn dispatch(worker: &Rc<Worker>, network: &Name, stream: TcpStream, client: SocketAddr) {
    let Ok(local) = stream.local_addr() else {
        tcp::reset(stream);
        return;
    };
    let inbound = Inbound {
        network: network.clone(),
        client,
        local,
    };
    let worker = worker.clone();
    let counted = Counted::new(&worker.shared.connections);
    // The futures are made inside their tasks: one that is handed in takes its room twice.
    match inbound.decide(&worker) {
        Decision::Refuse => tcp::reset(stream),
        Decision::AskName => drop(spawn_local(async move {
            let _counted = counted;
            by_name::serve(worker, stream, inbound).await;
        })),
        Decision::Serve(target) if target.service_port.is_http() => drop(spawn_local(async move {
            let _counted = counted;
            http::serve(worker, stream, target, Buffer::default()).await;
        })),
        Decision::Serve(target) => drop(spawn_local(async move {
            let _counted = counted;
            tcp::serve(worker, stream, target, Buffer::default()).await;
        })),
    }
}

impl Inbound {
    fn decide(&self, worker: &Rc<Worker>) -> Decision {
        let admitted = {
            let (table, local) = (worker.shared.table(), self.local);
            match table.call(&self.network, local.ip(), local.port()) {
                Call::Shared => return Decision::AskName,
                Call::Unknown => return Decision::Refuse,
                Call::Offered(offer) => self.admit(&table, offer),
                Call::NotServed(app) => Err(self.not_served(&app.id)),
                Call::NotHere(app) => Err(self.not_here(&app.id)),
            }
        };
        let target = self.target(worker, admitted, None);
        target.map_or(Decision::Refuse, Decision::Serve)
    }

    /// What the caller means by a name in lower case, at an address that several apps share.
    pub(crate) fn target_by_name(&self, worker: &Rc<Worker>, name: &str) -> Named {
        let admitted = {
            let (table, local) = (worker.shared.table(), self.local);
            match table.call_by_name(&self.network, local.ip(), local.port(), name) {
                Some(offer) => self.admit(&table, offer),
                None => return Named::Nobody,
            }
        };
        let target = self.target(worker, admitted, Some(name.into()));
        target.map_or(Named::Denied, Named::App)
    }

    fn admit(&self, table: &Table, offer: Offer<'_>) -> Result<Admitted, Denial> {
        let known = offer.is_guarded() || offer.port.is_http();
        let caller = known.then(|| self.caller(table)).flatten();
        if !may_call(table, &offer, caller) {
            return Err(self.not_allowed(&offer.app.id, caller));
        }
        check_handlers(&offer)?;
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
                let code = Some(denial.code);
                shared.log_at(denial.level, &denial.app, None, code, &denial.message, None);
                return None;
            }
        };
        Some(Target {
            app: shared.app(&admitted.app)?,
            port: self.local.port(),
            service_port: admitted.port,
            client: self.client,
            local: self.local,
            caller: admitted.caller,
            name,
            group: worker
                .groups
                .enter(&admitted.app, &self.network, self.local.ip()),
        })
    }

    fn not_served(&self, app: &Name) -> Denial {
        let message = format!("no service of the app is on port {}", self.local.port());
        Denial::of_app(app, message)
    }

    fn not_here(&self, app: &Name) -> Denial {
        let (port, ip) = (self.local.port(), self.local.ip());
        Denial::of_app(
            app,
            format!("port {port} of the app is not offered at {ip}"),
        )
    }

    fn not_allowed(&self, app: &Name, caller: Option<&Arc<Machine>>) -> Denial {
        let port = self.local.port();
        let message = match caller {
            Some(caller) => format!(
                "machine {} of the app {} may not call port {port}",
                caller.id, caller.app
            ),
            None => format!(
                "{}, which is no known machine, may not call port {port}",
                self.client.ip()
            ),
        };
        Denial {
            app: app.clone(),
            level: Level::Warn,
            code: "RA01",
            message,
        }
    }
}

impl Denial {
    fn of_app(app: &Name, message: String) -> Self {
        Self {
            app: app.clone(),
            level: Level::Error,
            code: "PR01",
            message,
        }
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
    let mut handlers = offer.port.handlers.iter();
    let Some(handler) = handlers.find(|handler| **handler != Handler::Http) else {
        return Ok(());
    };
    let message = format!(
        "port {} has the handler {handler:?}, which is not served",
        offer.port.port
    );
    Err(Denial::of_app(&offer.app.id, message))
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
