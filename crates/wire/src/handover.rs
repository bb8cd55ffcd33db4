//! What two proxies say to each other while one takes over from the other.
//!
//! The *heir* connects to the *elder*. Lines of JSON as on the control socket; descriptors come with the
//! `sockets` line that names them, in its order.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::entity::{Machine, Name};
use crate::transport::TransportPort;

/// The version of this conversation. Additions do not change it.
pub const HANDOVER: u32 = 1;
/// How many descriptors one message may carry (`SCM_MAX_FD` of the kernel).
pub const MAX_DESCRIPTORS: usize = 253;

/// A line of the proxy that takes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "heir", rename_all = "snake_case")]
pub enum Heir {
    /// First: give me everything.
    Take {
        /// [`HANDOVER`].
        handover: u32,
        /// Version of the program.
        version: Name,
        /// How long connections may go on in the elder.
        drain_ms: u64,
    },
    /// I have everything and could begin.
    Ready,
    /// I accept connections.
    Serving,
    /// A unit for one who waits.
    Grant {
        /// The app.
        app: Name,
        /// Who waits.
        waiter: u64,
        /// The Machine.
        machine: Box<Machine>,
        /// The port to connect to.
        port: TransportPort,
    },
    /// Nothing for one who waits.
    Refuse {
        /// The app.
        app: Name,
        /// Who waits.
        waiter: u64,
        /// The code for a raw connection.
        code: Name,
        /// The code for a request.
        http_code: Name,
        /// One sentence.
        message: Name,
    },
    /// What a later version says, which means nothing here.
    #[serde(other)]
    Other,
}

/// A line of the proxy that is taken over from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "elder", rename_all = "snake_case")]
pub enum Elder {
    /// No.
    Refuse {
        /// Why.
        message: Name,
    },
    /// Sockets that callers come to; as many descriptors come with the line.
    Sockets {
        /// What they are.
        sockets: Vec<SocketAt>,
    },
    /// What an app's Machines have under way here.
    Load {
        /// The app.
        app: Name,
        /// Machine, internal port, units.
        #[serde(default)]
        units: Vec<(Name, TransportPort, u32)>,
        /// Machines that were drained and not put since.
        #[serde(default)]
        draining: Vec<Name>,
    },
    /// That is all.
    Given,
    /// I accept nothing any more: begin.
    Go,
    /// Somebody here wants a unit.
    Ask {
        /// The app.
        app: Name,
        /// Who waits; a number that the app's waiters do not share.
        waiter: u64,
        /// The external port.
        port: TransportPort,
        /// Machines not to take.
        #[serde(default)]
        exclude: Vec<Name>,
        /// Which of them it would have.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wish: Option<Box<Wished>>,
    },
    /// He waits no more.
    Unask {
        /// The app.
        app: Name,
        /// Who waited.
        waiter: u64,
    },
    /// A unit is given back.
    Release {
        /// The app.
        app: Name,
        /// The Machine.
        machine: Name,
        /// The internal port.
        port: TransportPort,
    },
    /// The Machine refused the holder of a unit.
    Unreachable {
        /// The app.
        app: Name,
        /// The Machine.
        machine: Name,
        /// The internal port.
        port: TransportPort,
    },
    /// What a later version says, which means nothing here. Descriptors come with `sockets` alone.
    #[serde(other)]
    Other,
}

/// Which Machines a call would have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Wished {
    /// This Machine first.
    pub instance: Option<Name>,
    /// Then one of these regions.
    pub regions: Vec<Name>,
    /// No other Machine.
    pub strict: bool,
}

/// What a socket is, in words that two processes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SocketAt {
    /// Device and inode of its network namespace.
    pub netns: (u64, u64),
    /// The address it is bound to.
    pub at: SocketAddr,
    /// Its transport.
    pub kind: SocketKind,
}

/// A socket's transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketKind {
    /// A listener.
    Tcp,
    /// Datagrams.
    Udp,
}
