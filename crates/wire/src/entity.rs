//! What the agent tells about: networks, apps and Machines.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::certificate::{Certificate, TlsOptions};
use crate::check::Check;

/// A shared, immutable name or id; cloning it costs a reference count.
pub type Name = Arc<str>;

/// One thing of the table, as carried by `put`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Entity {
    /// A network.
    Network(Network),
    /// An app and its addresses.
    App(App),
    /// A Machine and its services.
    Machine(Machine),
    /// A certificate of an app.
    Certificate(Certificate),
}

/// A network and, when it has one on this host, the namespace its callers connect in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Unique id.
    pub id: Name,
    /// Name within the organization.
    pub name: Name,
    /// Slug of the organization.
    pub org: Name,
    /// Prefix of all its addresses, such as `fdaa:0:1::/48`; empty for a public one.
    pub prefix: Name,
    /// Path of the namespace's file: the network's router, or the host's own for a public one.
    /// `None` while there is none here.
    #[serde(default)]
    pub netns: Option<Name>,
    /// Callers come from outside: no DNS, and listeners only at the apps' own addresses.
    #[serde(default, skip_serializing_if = "is_false")]
    pub public: bool,
}

/// An app: a name and the addresses it is called at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Unique name.
    pub id: Name,
    /// Slug of the organization.
    pub org: Name,
    /// The network its Machines are on.
    pub network: Name,
    /// Where it is called, possibly on other networks.
    #[serde(default)]
    pub addresses: Vec<Address>,
    /// Names by which it is called at shared addresses, in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Name>,
    /// How long open connections may go on once the address they came by is taken away, in
    /// milliseconds.
    #[serde(default = "usual_drain", skip_serializing_if = "is_usual_drain")]
    pub drain_ms: u64,
    /// Its requests may be replayed to apps of its organization on other networks.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cross_network_replays: bool,
    /// Other organizations whose apps may replay requests to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replay_sources: Vec<Name>,
}

/// An address: callers on `network` reach the app at `ip`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The network of the callers.
    pub network: Name,
    /// The address, IPv6 on private networks.
    pub ip: IpAddr,
    /// The external ports that answer here; `None` means all of the app's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<u16>>,
    /// Other apps may have it too: callers say by name which app they mean.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shared: bool,
}

impl Address {
    /// Whether an external port of the app answers here.
    pub fn offers(&self, port: u16) -> bool {
        let ports = self.ports.as_deref();
        ports.is_none_or(|ports| ports.contains(&port))
    }
}

/// A Machine as the agent sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Unique id.
    pub id: Name,
    /// Its app.
    pub app: Name,
    /// The network it is on.
    pub network: Name,
    /// Region of its host.
    #[serde(default = "empty")]
    pub region: Name,
    /// Configuration version.
    #[serde(default = "empty")]
    pub instance: Name,
    /// Its state.
    pub state: MachineState,
    /// Its 6PN address.
    #[serde(default)]
    pub ip6: Option<Ipv6Addr>,
    /// The address the proxy dials.
    #[serde(default)]
    pub ip4: Option<Ipv4Addr>,
    /// Takes no traffic.
    #[serde(default)]
    pub cordoned: bool,
    /// A wake may start it.
    #[serde(default)]
    pub startable: bool,
    /// Named by DNS.
    #[serde(default = "yes")]
    pub dns: bool,
    /// Process group.
    #[serde(default = "empty")]
    pub group: Name,
    /// Metadata, for DNS.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<Name, Name>,
    /// What it offers.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Checks that say how it is and decide nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// The state of a Machine, as far as the proxy tells states apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineState {
    /// Made, never run.
    Created,
    /// On its way up; its port is tried while somebody waits.
    Starting,
    /// Running.
    Started,
    /// On its way down.
    Stopping,
    /// Processes gone.
    Stopped,
    /// On its way to a freeze.
    Suspending,
    /// Frozen.
    Suspended,
    /// Any other state: at rest, not routable.
    #[serde(other)]
    Resting,
}

impl MachineState {
    /// The word used on the wire and in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Started => "started",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Suspending => "suspending",
            Self::Suspended => "suspended",
            Self::Resting => "resting",
        }
    }

    /// Whether the Machine's processes run or are about to.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Starting | Self::Started)
    }
}

/// One `internal_port` of a Machine and the external ports that lead to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Transport protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// Where the program listens.
    pub internal_port: u16,
    /// Where callers connect.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// A call may wake the Machine.
    #[serde(default = "yes")]
    pub autostart: bool,
    /// Load limits.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// The apps whose Machines may call, as `app` of the called app's organization or `org/app`; `None`
    /// means everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_apps: Option<Vec<Name>>,
    /// While one of these does not pass, no call goes to the Machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// Transport protocol of a service.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// Something newer than this crate; not served.
    #[serde(other)]
    Other,
}

/// One external port, or a range of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The external port, or the first of a range.
    pub port: u16,
    /// The last port of a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_port: Option<u16>,
    /// What is done to the bytes; none means raw TCP.
    #[serde(default)]
    pub handlers: Vec<Handler>,
    /// Answer plaintext requests with a redirect.
    #[serde(default)]
    pub force_https: bool,
    /// Settings of the `http` handler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_options: Option<Box<HttpOptions>>,
    /// Settings of the `tls` and `pg_tls` handlers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_options: Option<Box<TlsOptions>>,
    /// Settings of the `proxy_proto` handler.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub proxy_proto_options: ProxyProtoOptions,
    /// A caller begins with a PROXY header that says who it is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub accept_proxy_proto: bool,
}

impl Port {
    /// The external ports.
    pub fn span(&self) -> RangeInclusive<u16> {
        self.port..=self.end_port.unwrap_or(self.port).max(self.port)
    }

    /// Whether an external port is this one or in the range.
    pub fn has(&self, port: u16) -> bool {
        self.span().contains(&port)
    }

    /// Whether the `http` handler serves it.
    pub fn is_http(&self) -> bool {
        self.handlers.contains(&Handler::Http)
    }

    /// The PROXY header that the Machine gets first, if any.
    pub fn proxy_proto(&self) -> Option<ProxyProtoVersion> {
        let asked = self.handlers.contains(&Handler::ProxyProto);
        asked.then_some(self.proxy_proto_options.version)
    }

    /// A handler that asks for what the proxy cannot do, or not together with the others.
    pub fn unserved(&self) -> Option<Handler> {
        let served = |handler: &Handler| match handler {
            Handler::Http | Handler::Tls => true,
            Handler::ProxyProto => self.proxy_proto() != Some(ProxyProtoVersion::Other),
            Handler::PgTls => self.handlers.iter().all(|one| *one == Handler::PgTls),
            Handler::Other => false,
        };
        self.handlers.iter().copied().find(|one| !served(one))
    }
}

/// What the proxy does on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handler {
    /// HTTP.
    Http,
    /// TLS ended here.
    Tls,
    /// `PostgreSQL`'s way into TLS.
    PgTls,
    /// PROXY protocol header to the Machine.
    ProxyProto,
    /// Something newer than this crate.
    #[serde(other)]
    Other,
}

/// `proxy_proto_options` of fly.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProxyProtoOptions {
    /// Which header it is.
    #[serde(default)]
    pub version: ProxyProtoVersion,
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtoVersion {
    /// A line of text.
    #[default]
    V1,
    /// Binary.
    V2,
    /// Something newer than this crate.
    #[serde(other)]
    Other,
}

/// `http_options` of fly.toml.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HttpOptions {
    /// Compress answers; `None` means the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compress: Option<bool>,
    /// Speak HTTP/2 without TLS to the Machine.
    #[serde(default)]
    pub h2_backend: bool,
    /// Seconds without a byte in either direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<u32>,
    /// Seconds to receive a request's head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_read_timeout: Option<u32>,
    /// Changes to answers.
    #[serde(default)]
    pub response: HttpResponse,
    /// For which sessions replays are remembered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replay_cache: Vec<ReplayRule>,
}

/// One `http_options.replay_cache` of fly.toml.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayRule {
    /// `[host]/path`: the requests it is about.
    pub path_prefix: Name,
    /// How long a replay is remembered, in seconds.
    pub ttl_seconds: u64,
    /// What tells sessions apart.
    #[serde(rename = "type")]
    pub kind: SessionKind,
    /// The name of the cookie or header.
    pub name: Name,
    /// A caller may ask for the app itself.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_bypass: bool,
}

/// Where a session's name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// In a cookie.
    Cookie,
    /// In a request header.
    Header,
}

/// `http_options.response` of fly.toml.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HttpResponse {
    /// Add nothing of our own.
    #[serde(default)]
    pub pristine: bool,
    /// Header → values; an empty list removes the header.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<Name, Vec<Name>>,
}

/// Load limits of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Concurrency {
    /// What is counted.
    #[serde(default, rename = "type")]
    pub unit: LoadUnit,
    /// From here on others are preferred.
    #[serde(default)]
    pub soft_limit: Option<u32>,
    /// From here on nothing new is taken.
    #[serde(default)]
    pub hard_limit: Option<u32>,
}

/// What load counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadUnit {
    /// Open connections.
    #[default]
    Connections,
    /// Requests under way.
    Requests,
}

/// What [`App::drain_ms`] is unless said otherwise.
const USUAL_DRAIN_MS: u64 = 5_000;

fn usual_drain() -> u64 {
    USUAL_DRAIN_MS
}

// Serde asks with a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_usual_drain(value: &u64) -> bool {
    *value == USUAL_DRAIN_MS
}

fn yes() -> bool {
    true
}

// Serde asks with a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}

// Serde asks with a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_usual(value: &ProxyProtoOptions) -> bool {
    *value == ProxyProtoOptions::default()
}

fn empty() -> Name {
    Name::from("")
}
