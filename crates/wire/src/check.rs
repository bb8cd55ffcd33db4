//! Health checks of a Machine.

use serde::{Deserialize, Serialize};

use crate::entity::{Name, is_false};

/// One health check: what is asked of a port of the Machine, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Unique within the Machine.
    pub name: Name,
    /// What is asked.
    #[serde(rename = "type")]
    pub kind: CheckKind,
    /// The port of the Machine.
    pub port: u16,
    /// From one run to the next, in milliseconds.
    pub interval_ms: u64,
    /// For one run as a whole, in milliseconds.
    pub timeout_ms: u64,
    /// From the start of the Machine to the first run, in milliseconds.
    #[serde(default)]
    pub grace_ms: u64,
    /// What is said to an HTTP server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Box<HttpCheck>>,
}

/// What a check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// Whether the port accepts.
    Tcp,
    /// Whether a request is answered with a status from 200 to 299.
    Http,
    /// Something newer than this crate: never run, so never passing.
    #[serde(other)]
    Other,
}

/// The request of an HTTP check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// Such as `GET`.
    #[serde(default = "get")]
    pub method: Name,
    /// Path and query.
    #[serde(default = "root")]
    pub path: Name,
    /// Names and values, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(Name, Name)>,
    /// Speak TLS.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tls: bool,
    /// Take any certificate.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tls_skip_verify: bool,
    /// The name that is asked for and looked for in the certificate; `None` means the app's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<Name>,
}

impl Default for HttpCheck {
    fn default() -> Self {
        Self {
            method: get(),
            path: root(),
            headers: Vec::new(),
            tls: false,
            tls_skip_verify: false,
            tls_server_name: None,
        }
    }
}

/// What a check said last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Name of the check.
    pub name: Name,
    /// What it means.
    pub status: CheckStatus,
    /// One line of at most about a KiB for people; empty before the first run.
    pub output: Name,
    /// When the status changed last, in milliseconds since 1970.
    pub at: u64,
}

/// What the result of a check means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// The last run passed.
    Passing,
    /// Not used by checks of this crate.
    Warning,
    /// The last run failed, or there was none yet.
    Critical,
}

fn get() -> Name {
    Name::from("GET")
}

fn root() -> Name {
    Name::from("/")
}
