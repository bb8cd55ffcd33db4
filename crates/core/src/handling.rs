//! What is done to the bytes of callers on a port.

use roost_wire::{Handler, Port};

/// How the connections of a port are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// They are passed on as they are.
    Raw,
    /// As HTTP.
    Http,
    /// TLS ends here; inside is HTTP with the `http` handler, and what is passed on without it.
    Tls,
    /// As [`Self::Tls`], after `PostgreSQL`'s way into it.
    PgTls,
}

impl Handling {
    /// That of a port whose handlers are all served.
    pub fn of(port: &Port) -> Self {
        let has = |handler| port.handlers.contains(&handler);
        if has(Handler::PgTls) {
            Self::PgTls
        } else if has(Handler::Tls) {
            Self::Tls
        } else if has(Handler::Http) {
            Self::Http
        } else {
            Self::Raw
        }
    }
}
