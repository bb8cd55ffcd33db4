//! Messages from the agent to the proxy.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::entity::{Entity, Name};

/// One downward line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownLine {
    /// Number of the message on its connection; answered by one ack.
    pub seq: u64,
    /// What to do.
    #[serde(flatten)]
    pub op: Down,
}

/// What the agent asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Down {
    /// First on each connection.
    Hello {
        /// Version the agent speaks.
        protocol: u32,
        /// Region of this host.
        #[serde(default = "no_region")]
        region: Name,
        /// Times and bounds.
        #[serde(default)]
        settings: Settings,
    },
    /// Start or end of a full snapshot.
    Snapshot {
        /// Which of both.
        stage: Stage,
    },
    /// Create or replace.
    Put(Entity),
    /// Remove; a missing one is fine.
    Del {
        /// What kind of thing.
        kind: Kind,
        /// Its id.
        id: Name,
    },
    /// Take no new work for a Machine.
    Drain {
        /// The Machine.
        machine: Name,
        /// Only when nothing uses or awaits it.
        #[serde(default)]
        if_idle: bool,
    },
    /// A wake came to nothing.
    WakeFailed {
        /// The Machine.
        machine: Name,
        /// Error code such as `PM07`.
        code: Name,
        /// One sentence.
        message: Name,
    },
    /// A certificate that somebody waits for will not come.
    CertificateFailed {
        /// The app.
        app: Name,
        /// The organization whose authority was to issue it.
        audience: Name,
        /// One sentence.
        message: Name,
    },
    /// Take over from other proxies, then accept connections.
    TakeOver {
        /// Their control sockets.
        from: Vec<String>,
        /// How long connections may go on there.
        #[serde(default)]
        drain_ms: u64,
    },
    /// Say again what was news: wakes in flight, and all results of checks.
    Tell,
    /// Ask for counters.
    Stats,
    /// End gracefully.
    Stop {
        /// How long connections may go on.
        #[serde(default)]
        grace_ms: u64,
    },
}

/// Stage of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Puts follow.
    Begin,
    /// What was not put is gone.
    End,
}

/// Kind of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A network.
    Network,
    /// An app.
    App,
    /// A Machine.
    Machine,
    /// A certificate.
    Certificate,
}

/// Times and bounds; every field has a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How long somebody waits for a wake.
    pub wake_timeout_ms: u64,
    /// How long somebody waits at the hard limit.
    pub queue_timeout_ms: u64,
    /// How long a connect to a Machine may take.
    pub connect_timeout_ms: u64,
    /// How long an unused connection to a Machine is kept.
    pub idle_pool_ms: u64,
    /// How long a client connection may be idle between requests.
    pub http_idle_ms: u64,
    /// How long a request's head may take.
    pub head_timeout_ms: u64,
    /// How long a TLS handshake may take, and what `pg_tls` has before it.
    pub tls_handshake_timeout_ms: u64,
    /// TLS handshakes a second from one source: a Machine, or an address outside. 0 means no limit.
    pub tls_handshakes_source: u32,
    /// TLS handshakes a second to one app. 0 means no limit.
    pub tls_handshakes_app: u32,
    /// Requests that a client may have under way on one connection of HTTP/2.
    pub http2_max_streams: u32,
    /// How long a flow of datagrams lives without one.
    pub udp_idle_ms: u64,
    /// Waiters of one app.
    pub max_waiters_app: usize,
    /// Waiters of all apps.
    pub max_waiters: usize,
    /// Bytes that are held of one app's waiters.
    pub max_held_bytes_app: usize,
    /// Bytes that are held of all waiters.
    pub max_held_bytes: usize,
    /// Connections that one source may have open: a Machine, or an address outside. `None` means half of all
    /// that there may be, 0 any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections_source: Option<usize>,
    /// Requests whose heads are larger than 8 KiB, at a time. `None` means what memory allows, 0 any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_large_heads: Option<usize>,
    /// The largest request body that is kept to be replayed; at most 10 MiB.
    pub replay_body_bytes: usize,
    /// Where other names are asked: `ip` or `ip#port`.
    pub resolvers: Vec<Name>,
    /// What `Fly-Src` is signed with: base64 of a 32-byte Ed25519 seed. `None` means no `Fly-Src`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_key: Option<Secret>,
}

/// Text that no log may show.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub Name);

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret")
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wake_timeout_ms: 60_000,
            queue_timeout_ms: 60_000,
            connect_timeout_ms: 5_000,
            idle_pool_ms: 4_000,
            http_idle_ms: 60_000,
            head_timeout_ms: 60_000,
            tls_handshake_timeout_ms: 10_000,
            tls_handshakes_source: 500,
            tls_handshakes_app: 2_000,
            http2_max_streams: 128,
            udp_idle_ms: 60_000,
            max_waiters_app: 1_024,
            max_waiters: 16_384,
            max_held_bytes_app: 16 << 20,
            max_held_bytes: 256 << 20,
            max_connections_source: None,
            max_large_heads: None,
            replay_body_bytes: 1 << 20,
            resolvers: Vec::new(),
            src_key: None,
        }
    }
}

impl Settings {
    /// [`Self::connect_timeout_ms`] as a duration.
    pub const fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}

fn no_region() -> Name {
    Name::from("")
}
