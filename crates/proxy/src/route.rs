//! From a call to a Machine: targets, slots and the errors on the way.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::sync::Arc;

use roost_core::{Fate, Grant, Micros, Refusal};
use roost_wire::{LoadUnit, Machine, Name, Port, Protocol, Service};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

pub(crate) use crate::app::AppHandle;
use crate::app::Granted;
use crate::group::Member;
use crate::netns::Netns;
use crate::proxy_proto::Proxied;
use crate::shared::Shared;
use crate::worker::Worker;

/// Why a port of a Machine was not reached.
#[derive(Debug)]
pub(crate) enum DialError {
    /// This host could not even try: no descriptor, no free port, no network. The Machine is not to blame.
    Here(io::Error),
    /// The Machine did not take the connection.
    There(io::Error),
}

/// Connects to a port of a Machine, inside its network.
pub(crate) async fn dial(
    shared: &Shared,
    machine: &Machine,
    port: u16,
) -> Result<TcpStream, DialError> {
    let (socket, address) = prepare(shared, machine, port).map_err(DialError::Here)?;
    let connected = socket.connect(address).await;
    connected.map_err(|error| match error.kind() {
        // What connect(2) says when every local port is taken.
        io::ErrorKind::AddrNotAvailable => DialError::Here(error),
        _ => DialError::There(error),
    })
}

fn prepare(shared: &Shared, machine: &Machine, port: u16) -> io::Result<(TcpSocket, SocketAddr)> {
    let missing = || io::Error::from(io::ErrorKind::AddrNotAvailable);
    let netns = shared.netns(&machine.network).ok_or_else(missing)?;
    let address = SocketAddr::from((machine.ip4.ok_or_else(missing)?, port));
    let socket = netns.tcp4_socket()?;
    socket.set_tcp_nodelay(true)?;
    Ok((TcpSocket::from_std_stream(socket.into()), address))
}

/// What a client connection asked for.
#[derive(Debug)]
pub(crate) struct Target {
    /// The app that is called.
    pub(crate) app: Arc<AppHandle>,
    /// The external port.
    pub(crate) port: u16,
    /// Handlers and options of that port.
    pub(crate) service_port: Arc<Port>,
    /// The network it came from.
    pub(crate) network: Name,
    /// The caller, where a PROXY header said so the one it named.
    pub(crate) client: SocketAddr,
    /// Who really calls, whatever a header said.
    pub(crate) peer: IpAddr,
    /// The address and port that was called.
    pub(crate) local: SocketAddr,
    /// It came over a public network.
    pub(crate) public: bool,
    /// What a PROXY header said.
    pub(crate) proxied: Option<Box<Proxied>>,
    /// The Machine that really calls, where somebody asks for it.
    pub(crate) caller: Option<Arc<Machine>>,
    /// The name by which the app was meant, at an address that others share.
    pub(crate) name: Option<Name>,
    /// The connections that end with this one.
    pub(crate) group: Member,
}

impl Target {
    /// Whether a request for this host is for the app.
    pub(crate) fn is_meant_by(&self, host: Option<&str>) -> bool {
        let same = |name: &Name| host.is_some_and(|host| host.eq_ignore_ascii_case(name));
        self.name.as_ref().is_none_or(same)
    }
}

/// Why a call got no Machine. HTTP answers 503 with it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct RouteError {
    /// Fly's error code, such as `PM05`.
    pub(crate) code: Name,
    /// One sentence.
    pub(crate) message: String,
}

impl RouteError {
    pub(crate) fn new(refusal: &Refusal, http: bool) -> Self {
        Self {
            code: refusal.code(http).into(),
            message: refusal.to_string(),
        }
    }
}

impl From<ConnectError> for RouteError {
    fn from(error: ConnectError) -> Self {
        Self {
            code: error.code.into(),
            message: error.message,
        }
    }
}

/// Why a Machine was not reached. Already counted: a Machine that refused gets no calls until its
/// port accepts again, so the next `acquire` waits for it or takes another one.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct ConnectError {
    /// Fly's error code, such as `PC01`.
    pub(crate) code: &'static str,
    /// One sentence.
    pub(crate) message: String,
    /// The Machine is alive and refused: acquire again without excluding it. Otherwise exclude it.
    pub(crate) refused: bool,
}

/// A Machine, for what is to be said of it in its app's log when no unit is held.
pub(crate) struct Whose {
    shared: Arc<Shared>,
    machine: Arc<Machine>,
}

impl Whose {
    /// Writes a line with a code of Fly's.
    pub(crate) fn log(&self, code: &str, message: &str) {
        let Self { shared, machine } = self;
        shared.log(&machine.app, Some(&machine.id), code, message, None);
    }
}

/// One unit of load on one service of a Machine. Dropping it gives the unit back.
pub(crate) struct Slot {
    worker: Rc<Worker>,
    app: Arc<AppHandle>,
    grant: Grant,
    early: Cell<Option<std::net::TcpStream>>,
    fate: Cell<Fate>,
    released: bool,
}

impl Slot {
    pub(crate) fn new(worker: Rc<Worker>, app: Arc<AppHandle>, granted: Granted) -> Self {
        let early = Cell::new(granted.early);
        Self {
            worker,
            app,
            grant: granted.grant,
            early,
            fate: Cell::default(),
            released: false,
        }
    }

    fn value(&self) -> &Machine {
        &self.grant.machine
    }

    /// For what is said of the Machine later.
    pub(crate) fn whose(&self) -> Whose {
        Whose {
            shared: self.worker.shared.clone(),
            machine: self.grant.machine.clone(),
        }
    }

    /// The Machine as it was when the unit was taken.
    pub(crate) fn record(&self) -> &Arc<Machine> {
        &self.grant.machine
    }

    /// The Machine.
    pub(crate) fn machine(&self) -> &Name {
        &self.value().id
    }

    /// Its configuration version; a pooled connection belongs to one of them.
    pub(crate) fn instance(&self) -> &Name {
        &self.value().instance
    }

    /// When it came up.
    pub(crate) fn up_since(&self) -> Micros {
        self.grant.up_since
    }

    /// The port the program listens on.
    pub(crate) fn internal_port(&self) -> u16 {
        self.grant.internal_port
    }

    /// What the Machine says of an external port. Another Machine of the app may differ, as during a deploy.
    pub(crate) fn port(&self, number: u16) -> Option<&Port> {
        let mut services = self.value().services.iter();
        services
            .find(|one| one.protocol == Protocol::Tcp && one.internal_port == self.internal_port())
            .and_then(|service| service.ports.iter().find(|one| one.has(number)))
    }

    fn service(&self) -> Option<&Service> {
        let port = self.grant.internal_port;
        let same = |one: &&Service| one.protocol == Protocol::Tcp && one.internal_port == port;
        self.value().services.iter().find(same)
    }

    /// Whether the Machine is spoken to in HTTP/2 for those who call an external port.
    pub(crate) fn speaks_http2(&self, port: u16) -> bool {
        let service = self.service();
        let port = service.and_then(|service| service.ports.iter().find(|one| one.has(port)));
        let options = port.and_then(|port| port.http_options.as_deref());
        options.is_some_and(|options| options.h2_backend)
    }

    /// What the unit counts: connections (a new one per request) or requests (pooled).
    pub(crate) fn unit(&self) -> LoadUnit {
        let service = self.service();
        service.map_or(LoadUnit::Connections, |service| service.concurrency.unit)
    }

    /// Whether the Machine's port is known to take calls; only with UDP it may be unknown.
    pub(crate) fn is_proven(&self) -> bool {
        self.grant.proven
    }

    /// Whether nobody can wait for another port of the same service.
    pub(crate) fn has_one_port(&self) -> bool {
        self.grant.one_port
    }

    /// What was sent to the Machine over UDP was taken.
    pub(crate) fn accepted(&self) {
        let config = self.worker.config();
        let context = self.worker.context(&config);
        self.app.accepted(&self.grant, context);
    }

    /// A socket connected to a UDP port of the Machine; the error is about this host.
    pub(crate) fn datagrams(&self, port: u16) -> io::Result<UdpSocket> {
        let (netns, ip4) = self.way()?;
        UdpSocket::from_std(netns.udp4_to(SocketAddrV4::new(ip4, port))?)
    }

    /// The Machine's port refused a datagram, or a connection: it gets nothing new until it takes something.
    pub(crate) fn refused(&self) {
        self.app.refused(&self.grant, &self.worker.shared);
    }

    /// The namespace and the address by which the Machine is reached.
    fn way(&self) -> io::Result<(Arc<Netns>, Ipv4Addr)> {
        let machine = self.value();
        let missing = || io::Error::from(io::ErrorKind::AddrNotAvailable);
        let netns = self.worker.shared.netns(&machine.network);
        Ok((netns.ok_or_else(missing)?, machine.ip4.ok_or_else(missing)?))
    }

    /// Opens a connection to the Machine, within `connect_timeout`. The first call after a wake gives
    /// the connection that proved the port.
    pub(crate) async fn connect(&self) -> Result<TcpStream, ConnectError> {
        if let Some(stream) = self.early.take() {
            return TcpStream::from_std(stream).map_err(|error| self.untried(&error));
        }
        let timeout = self.worker.config().settings.connect_timeout();
        let dialled = dial(&self.worker.shared, self.value(), self.grant.internal_port);
        match tokio::time::timeout(timeout, dialled).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(DialError::Here(error))) => Err(self.untried(&error)),
            Ok(Err(DialError::There(error))) => Err(self.failed(&error)),
            Err(_) => Err(self.failed(&io::ErrorKind::TimedOut.into())),
        }
    }

    /// The Machine answered: it is there.
    pub(crate) fn answered(&self) {
        self.fate.set(Fate::Answered);
        if self.grant.trial {
            let config = self.worker.config();
            self.app.answered(&self.grant, self.worker.context(&config));
        }
    }

    /// The Machine ended the call before it answered; with Fly's code.
    pub(crate) fn broke(&self, code: &'static str) {
        self.fate.set(Fate::Broken(code));
    }

    /// This host could not call the Machine, which says nothing about that.
    fn untried(&self, error: &io::Error) -> ConnectError {
        let (machine, port) = (self.machine(), self.grant.internal_port);
        let message = format!(
            "the host of the proxy could not call machine {machine} on port {port} ({error})"
        );
        ConnectError {
            code: "PC06",
            message,
            refused: false,
        }
    }

    fn failed(&self, error: &io::Error) -> ConnectError {
        let (machine, port) = (self.machine(), self.grant.internal_port);
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        if refused {
            self.refused();
        }
        let (code, what) = match error.kind() {
            io::ErrorKind::ConnectionRefused => ("PC01", "refused the connection"),
            io::ErrorKind::ConnectionReset => ("PC03", "reset the connection"),
            io::ErrorKind::ConnectionAborted => ("PC04", "aborted the connection"),
            io::ErrorKind::TimedOut => ("PC05", "did not accept in time"),
            _ => ("PC06", "was not reached"),
        };
        if !refused {
            self.broke(code);
        }
        let message = format!(
            "machine {machine} {what} on port {port} ({error}); does the app listen on 0.0.0.0:{port}?"
        );
        ConnectError {
            code,
            message,
            refused,
        }
    }

    /// Gives the unit back and says whether a connection to the Machine may be kept for later: it
    /// may when the Machine goes on taking calls. Put it into the pool before the next await.
    pub(crate) fn release(mut self) -> bool {
        self.give_back()
    }

    fn give_back(&mut self) -> bool {
        if std::mem::replace(&mut self.released, true) {
            return false;
        }
        let config = self.worker.config();
        let context = self.worker.context(&config);
        self.app.release(&self.grant, self.fate.get(), context)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.give_back();
    }
}
