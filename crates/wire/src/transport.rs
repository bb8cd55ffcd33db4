//! A port number together with the protocol it belongs to.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::entity::Protocol;

/// A port of one protocol: `80` is TCP's, `53/udp` is UDP's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransportPort {
    /// The protocol.
    pub protocol: Protocol,
    /// The number.
    pub port: u16,
}

impl TransportPort {
    /// A port of TCP.
    pub const fn tcp(port: u16) -> Self {
        Self {
            protocol: Protocol::Tcp,
            port,
        }
    }

    /// A port of UDP.
    pub const fn udp(port: u16) -> Self {
        Self {
            protocol: Protocol::Udp,
            port,
        }
    }
}

impl From<u16> for TransportPort {
    /// A port of TCP.
    fn from(port: u16) -> Self {
        Self::tcp(port)
    }
}

impl fmt::Display for TransportPort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match self.protocol {
            Protocol::Tcp => write!(out, "{port}"),
            Protocol::Udp => write!(out, "{port}/udp"),
            Protocol::Other => write!(out, "{port}/other"),
        }
    }
}

/// Not a port such as `80` or `53/udp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a port such as 80 or 53/udp")]
pub struct NotAPort;

impl FromStr for TransportPort {
    type Err = NotAPort;

    fn from_str(text: &str) -> Result<Self, NotAPort> {
        let (port, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((port, "udp")) => (port, Protocol::Udp),
            Some((port, _)) => (port, Protocol::Other),
        };
        let port = port.parse().map_err(|_| NotAPort)?;
        Ok(Self { protocol, port })
    }
}

/// A number for TCP, else text.
impl Serialize for TransportPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.protocol {
            Protocol::Tcp => serializer.serialize_u16(self.port),
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for TransportPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortVisitor)
    }
}

struct PortVisitor;

impl Visitor<'_> for PortVisitor {
    type Value = TransportPort;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a port such as 80 or 53/udp")
    }

    fn visit_u64<E: de::Error>(self, port: u64) -> Result<TransportPort, E> {
        let port = u16::try_from(port).map_err(E::custom)?;
        Ok(port.into())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TransportPort, E> {
        text.parse().map_err(E::custom)
    }
}
