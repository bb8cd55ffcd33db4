//! Messages from the proxy to the agent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::check::CheckResult;
use crate::entity::Name;
use crate::transport::TransportPort;

/// One upward line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ev", rename_all = "snake_case")]
pub enum Up {
    /// Answer to a downward message.
    Ack(Ack),
    /// First line of a connection.
    Hello {
        /// Version the proxy speaks.
        protocol: u32,
        /// Version of the program.
        version: Name,
        /// Its process id.
        pid: u32,
        /// What it does.
        #[serde(default)]
        role: Role,
    },
    /// Somebody waits for a Machine.
    Wake {
        /// The Machine.
        machine: Name,
        /// Its app.
        app: Name,
    },
    /// A certificate is wanted from an organization's authority.
    Certificate {
        /// The app it is for.
        app: Name,
        /// The organization.
        audience: Name,
    },
    /// Load within the past second.
    Load {
        /// Machine → internal port → (now, peak).
        machines: BTreeMap<Name, BTreeMap<TransportPort, (u32, u32)>>,
        /// App → how many wait.
        waiting: BTreeMap<Name, usize>,
    },
    /// A port accepted for the first time after a start.
    Ready {
        /// The Machine.
        machine: Name,
        /// The internal port.
        port: u16,
        /// Since the `put` that made it `starting` or `started`.
        after_us: u64,
    },
    /// Results of a Machine's health checks that are news.
    Checks {
        /// The Machine.
        machine: Name,
        /// The configuration version that was checked.
        instance: Name,
        /// Each check at most once.
        results: Vec<CheckResult>,
    },
    /// A line for an app's log.
    Log {
        /// The app.
        app: Name,
        /// The Machine it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        machine: Option<Name>,
        /// How bad.
        level: Level,
        /// Error code such as `PR01`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<Name>,
        /// One sentence.
        message: Name,
        /// Id of the request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Name>,
    },
}

/// Answer to one downward message.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Ack {
    /// Number of the message; 0 when it could not be read.
    pub seq: u64,
    /// Why it was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Answer to `drain`: whether it took hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained: Option<bool>,
    /// Answer to `drain`: the Machine's load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<u32>,
    /// Answer to `take_over`: how many sockets came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<usize>,
    /// Answer to `stats`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<BTreeMap<String, u64>>,
}

/// What a proxy does, while perhaps another one runs beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Accepts nothing yet: it waits for `take_over`.
    Standby,
    /// Accepts connections.
    #[default]
    Serving,
    /// Gives everything to another one at this moment.
    Handing,
    /// Another one has taken over: its own connections go on until they end.
    Draining,
    /// Is about to end.
    Stopping,
}

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For the curious.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something failed.
    Error,
}
