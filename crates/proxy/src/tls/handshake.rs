//! From a client's first byte to the end of the TLS handshake.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use roost_core::{Handling, Validity};
use roost_pg_startup::ALPN;
use roost_wire::{App, Name};
use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::Failure;
use super::limits::Excess;
use super::postgres::{self, Greeted};
use super::prefixed::Prefixed;
use super::store::{Lack, Wanted};
use super::stream::Tls;
use crate::buffer::Buffer;
use crate::route::Target;
use crate::tcp;
use crate::worker::Worker;

/// The first byte of every TLS connection: the type of a handshake record.
const HANDSHAKE: u8 = 0x16;
/// Alerts (RFC 8446, 6.2).
const INTERNAL_ERROR: u8 = 80;
const UNRECOGNIZED_NAME: u8 = 112;

/// What a connection turned out to be.
pub(super) enum Opened {
    /// Through the handshake.
    Tls(Tls),
    /// A request without TLS, on a port with the `http` handler.
    Plain(TcpStream),
    /// `PostgreSQL` without TLS.
    PlainPostgres(TcpStream),
    /// `PostgreSQL`'s request for a cancel, which was read.
    Cancel(TcpStream, Buffer),
}

/// Counts a handshake, if it may begin.
pub(super) fn admit(worker: &Worker, target: &Target) -> Result<(), Failure> {
    let shared = &worker.shared;
    let settings = &worker.config().settings;
    // What a header claims may be anybody's address: it must not spend that one's rate.
    let (peer, app) = (target.peer, &target.app.name);
    let admitted = shared.tls.limits.admit(settings, peer, app, shared.now());
    admitted.map_err(|excess| match excess {
        Excess::Source => {
            let rate = settings.tls_handshakes_source;
            let message = format!("more than {rate} TLS handshakes a second from one caller");
            Failure::new("PT01", message)
        }
        Excess::App => {
            let rate = settings.tls_handshakes_app;
            Failure::new(
                "PT02",
                format!("more than {rate} TLS handshakes a second to the app"),
            )
        }
    })
}

/// Takes a client through the handshake, as far as it gets. An alert has been sent where one is due.
pub(super) async fn run(
    worker: &Rc<Worker>,
    mut stream: TcpStream,
    target: &Target,
    mut first: Buffer,
) -> Result<Opened, Failure> {
    let patience = Duration::from_millis(worker.config().settings.tls_handshake_timeout_ms);
    let late = |_| Failure::late(patience);
    let deadline = Instant::now() + patience;
    let mut must_agree = false;
    if Handling::of(&target.service_port) == Handling::PgTls {
        let greeting = postgres::greet(worker, &mut stream, target, &mut first, patience);
        match timeout_at(deadline, greeting).await.map_err(late)?? {
            Greeted::Asked => {}
            Greeted::Direct => must_agree = true,
            Greeted::Cancel => return Ok(Opened::Cancel(stream, first)),
            Greeted::Plain => return Ok(Opened::PlainPostgres(stream)),
        }
    }
    let begun = timeout_at(deadline, begin(worker, &mut stream, target, &mut first)).await;
    if begun.map_err(late)?? == Beginning::Request {
        return Ok(Opened::Plain(stream));
    }
    let acceptor = LazyConfigAcceptor::new(Acceptor::default(), Prefixed::new(stream, first));
    let hello = timeout_at(deadline, acceptor).await.map_err(late)?;
    let hello = hello.map_err(|error| explain(&error))?;
    let asked = Instant::now();
    let (hello, config) = configure(worker, target, hello).await?;
    // Waiting for a certificate is not the client's time.
    let deadline = deadline + asked.elapsed();
    let opened = timeout_at(deadline, hello.into_stream(config)).await;
    let opened = opened.map_err(late)?.map_err(|error| explain(&error))?;
    let tls = Tls::new(opened);
    // Who was not asked for could be meant for another protocol (ALPACA).
    if must_agree && !tls.speaks(ALPN) {
        let message = "a caller began with TLS and not with ALPN `postgresql`";
        return Err(Failure::new("PT04", message));
    }
    Ok(Opened::Tls(tls))
}

#[derive(Debug, PartialEq, Eq)]
enum Beginning {
    Hello,
    Request,
}

/// Waits for the first byte, and says whose beginning it is.
async fn begin(
    worker: &Worker,
    stream: &mut TcpStream,
    target: &Target,
    first: &mut Buffer,
) -> Result<Beginning, Failure> {
    if first.is_empty() {
        let (mut reader, _) = stream.split();
        let read = std::future::poll_fn(|cx| {
            if let Poll::Ready(read) = first.poll_fill(&mut reader, cx) {
                return Poll::Ready(read);
            }
            if worker.ends_at_once(target) {
                return Poll::Ready(Ok(0));
            }
            Poll::Pending
        });
        if !matches!(read.await, Ok(1..)) {
            return Err(Failure::silent());
        }
    }
    match first.unread().first() {
        Some(&HANDSHAKE) => Ok(Beginning::Hello),
        Some(byte) if byte.is_ascii_alphabetic() && target.service_port.is_http() => {
            Ok(Beginning::Request)
        }
        _ => Err(Failure::new(
            "PT04",
            "a caller sent something else than TLS",
        )),
    }
}

type Hello = StartHandshake<Prefixed>;

/// Finds out how to go on with a client that has said whom it calls.
async fn configure(
    worker: &Rc<Worker>,
    target: &Target,
    mut hello: Hello,
) -> Result<(Hello, Arc<rustls::ServerConfig>), Failure> {
    let shared = &worker.shared;
    let Some((app, audience)) = audience(worker, target) else {
        return Err(Failure::new("PT06", "the app is gone"));
    };
    let name = hello
        .client_hello()
        .server_name()
        .map(str::to_ascii_lowercase);
    let options = target.service_port.tls_options.as_deref();
    let wanted = Wanted {
        app,
        audience,
        name,
        self_signed: options.is_some_and(|options| options.default_self_signed),
    };
    let obtained = tokio::select! {
        biased;
        obtained = shared.tls.obtain(shared, &wanted) => obtained,
        () = tcp::gone(hello.io.socket()) => {
            return Err(Failure::new("PT03", "a caller left before its certificate came"));
        }
    };
    match obtained {
        Ok(loaded) => match loaded.config(&shared.tls.provider, &target.service_port) {
            Ok(config) => Ok((hello, config)),
            Err(error) => {
                alert(&mut hello.io, INTERNAL_ERROR).await;
                let message = format!("the certificate or tls_options cannot be used: {error}");
                Err(Failure::new("PT09", message))
            }
        },
        Err(lack) => {
            let (code, description) = match lack {
                Lack::Name(_) => ("PT05", UNRECOGNIZED_NAME),
                Lack::Certificate(_) => ("PT06", INTERNAL_ERROR),
            };
            alert(&mut hello.io, description).await;
            Err(Failure::new(code, describe(&lack, &wanted)))
        }
    }
}

/// The app, and the organization of the caller's network: its own for callers from outside.
fn audience(worker: &Worker, target: &Target) -> Option<(Arc<App>, Name)> {
    let table = worker.shared.table();
    let app = table.app(&target.app.name)?.clone();
    let network = table.network(&target.network);
    let org = network
        .filter(|network| !network.public)
        .map(|network| &network.org);
    let audience = org.unwrap_or(&app.org).clone();
    Some((app, audience))
}

/// Sends a fatal alert. A client that does not take it is not waited for.
async fn alert(io: &mut Prefixed, description: u8) {
    let record = [0x15, 3, 3, 0, 2, 2, description];
    let written = io.write(&record);
    let _ = tokio::time::timeout(Duration::from_millis(100), written).await;
}

fn describe(lack: &Lack, wanted: &Wanted) -> String {
    let name = wanted.name.as_deref().unwrap_or_default();
    match lack {
        Lack::Name(None) => format!("no certificate of the app is for {name:?}"),
        Lack::Name(Some(Validity {
            not_before,
            not_after,
        })) => {
            let now = super::store::unix_time();
            let when = if now > *not_after {
                format!("has ended at {not_after}")
            } else {
                format!("begins at {not_before}")
            };
            format!("the certificate for {name:?} {when} (unix seconds; now is {now})")
        }
        Lack::Certificate(why) => format!("there is no certificate: {why}"),
    }
}

/// What an error in a handshake means.
fn explain(error: &io::Error) -> Failure {
    if let Some(error) = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>())
    {
        let message = match error {
            rustls::Error::AlertReceived(alert) => {
                format!("the client refused the handshake: {alert:?}")
            }
            rustls::Error::NoApplicationProtocol => {
                "the client offers no protocol (ALPN) that this port speaks".to_owned()
            }
            other => format!("the TLS handshake failed: {other}"),
        };
        return Failure::new("PT04", message);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Failure::new("PT03", "a caller left in the middle of the TLS handshake")
        }
        _ => Failure::new("PT07", format!("the TLS handshake broke off: {error}")),
    }
}
