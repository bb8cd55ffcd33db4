//! The `tls` and `pg_tls` handlers: a handshake with the client, then what the port's other handlers do.
//!
//! Which certificate is shown is decided by `roost_core::Certificates`; one that is not issued yet is asked
//! for while the handshake waits. Nothing of the client reaches a Machine before the handshake is through.

mod awaited;
mod handshake;
mod limits;
mod loaded;
mod names;
mod postgres;
mod prefixed;
mod self_signed;
mod session;
mod store;
mod stream;

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use roost_core::Handling;
use roost_wire::Level;
use tokio::net::TcpStream;

use crate::applog::Text;
use crate::buffer::Buffer;
use crate::client::reset;
use crate::http::refusal::Refusal;
use crate::http2::Opening;
use crate::route::Target;
use crate::worker::Worker;
use crate::{http, http2, tcp};

use handshake::Opened;
use loaded::HTTP2;
pub(crate) use store::Store;

/// Why a connection was not taken into TLS.
#[derive(Debug)]
struct Failure {
    /// Fly's error code; `None` when nobody did anything wrong.
    code: Option<&'static str>,
    message: String,
}

impl Failure {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code: Some(code),
            message,
        }
    }

    fn late(patience: Duration) -> Self {
        let most = patience.as_millis();
        Self::new(
            "PT08",
            format!("the TLS handshake took more than {most} ms"),
        )
    }

    /// Somebody connected and left without a word.
    const fn silent() -> Self {
        Self {
            code: None,
            message: String::new(),
        }
    }
}

/// Serves one client connection to a port with the `tls` handler. `first` was read from it already.
pub(crate) async fn serve(worker: Rc<Worker>, stream: TcpStream, target: Target, first: Buffer) {
    let opened = {
        if let Err(failure) = handshake::admit(&worker, &target) {
            log(&worker, &target, &failure);
            return reset(stream);
        }
        let opening = pin!(handshake::run(&worker, stream, &target, first));
        target.group.unless_over(opening).await
    };
    let http = target.service_port.is_http();
    match opened {
        None => {}
        Some(Ok(Opened::Tls(tls))) if http && tls.speaks(HTTP2) => {
            http2::serve(worker, tls, target, Opening::default()).await;
        }
        Some(Ok(Opened::Tls(tls))) if http => {
            http::serve(worker, tls, target, Buffer::default()).await;
        }
        Some(Ok(Opened::Tls(tls))) if Handling::of(&target.service_port) == Handling::PgTls => {
            session::serve(worker, tls, target).await;
        }
        Some(Ok(Opened::Tls(tls))) => tcp::serve(worker, tls, target, Buffer::default()).await,
        Some(Ok(Opened::Plain(stream))) => {
            let message = "this port speaks TLS: call it by https";
            let failure = Failure::new("PT04", "a caller sent a request without TLS");
            log(&worker, &target, &failure);
            http::refuse(&worker, stream, None, &Refusal::plain(400, message)).await;
        }
        Some(Ok(Opened::PlainPostgres(stream))) => {
            let failure = Failure::new("PT04", "a caller began a session without TLS");
            log(&worker, &target, &failure);
            postgres::refuse(stream).await;
        }
        Some(Ok(Opened::Cancel(stream, first))) => tcp::serve(worker, stream, target, first).await,
        Some(Err(failure)) => log(&worker, &target, &failure),
    }
}

fn log(worker: &Worker, target: &Target, failure: &Failure) {
    let Some(code) = failure.code else {
        return;
    };
    let text = || {
        let (client, port) = (target.client.ip(), target.port);
        Text::from(format!("{} ({client}, port {port})", failure.message))
    };
    let app = &target.app.name;
    worker
        .shared
        .log_with(Level::Error, app, None, Some(code), text);
}
