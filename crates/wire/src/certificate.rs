//! Certificates that the `tls` handler shows, and how a port speaks TLS.

use serde::{Deserialize, Serialize};

use crate::down::Secret;
use crate::entity::Name;

/// A certificate of an app, with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Unique id.
    pub id: Name,
    /// Its app.
    pub app: Name,
    /// What it is for: names in lower case, perhaps `*.` and a name, and addresses as text.
    pub names: Vec<Name>,
    /// The organization whose own authority issued it, for callers on that organization's networks;
    /// `None` means that the app's owner gave it, for all callers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Name>,
    /// PEM: its own certificate, then the rest of the chain.
    pub chain: Name,
    /// PEM: the private key.
    pub key: Secret,
    /// Valid from, in seconds of Unix time.
    pub not_before: u64,
    /// Valid until.
    pub not_after: u64,
    /// From when on another one is asked for while this is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<u64>,
}

/// `tls_options` of fly.toml.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct TlsOptions {
    /// What is offered by ALPN, best first; `None` means what the handlers speak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<Vec<Name>>,
    /// Versions that are spoken; `None` means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<Vec<TlsVersion>>,
    /// Show a self-signed certificate where there is no other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default_self_signed: bool,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "TLSv1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "TLSv1.3")]
    Tls13,
    /// Something newer than this crate, or older than is safe.
    #[serde(other)]
    Other,
}
