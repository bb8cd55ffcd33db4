//! The control messages between the agent and `roost-proxy`: types and the line codec.
//!
//! The law is `protocol/control.md`; the counterpart is the Python room `proxyctl`. Nothing here
//! opens a socket: [`LineReader`] and [`encode`] work on bytes that somebody else moves.

mod certificate;
mod check;
mod down;
mod entity;
mod handover;
mod line;
mod state;
mod transport;
mod up;

pub use certificate::{Certificate, TlsOptions, TlsVersion};
pub use check::{Check, CheckKind, CheckResult, CheckStatus, HttpCheck};
pub use down::{Down, DownLine, Kind, Secret, Settings, Stage};
pub use entity::{
    Address, App, Concurrency, Entity, Handler, HttpOptions, HttpResponse, LoadUnit, Machine,
    MachineState, Name, Network, Port, Protocol, ProxyProtoOptions, ProxyProtoVersion, ReplayRule,
    Service, SessionKind,
};
pub use handover::{Elder, HANDOVER, Heir, MAX_DESCRIPTORS, SocketAt, SocketKind, Wished};
pub use line::{DecodeError, LineReader, MAX_LINE, decode, encode};
pub use state::{Change, State};
pub use transport::{NotAPort, TransportPort};
pub use up::{Ack, Level, Role, Up};

/// The protocol version spoken by this crate.
pub const PROTOCOL: u32 = 1;
