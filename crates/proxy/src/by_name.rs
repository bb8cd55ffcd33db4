//! Connections to an address that several apps share: what the caller sends first says which app is meant.
//!
//! No Machine is asked before that is known, and no more is read than saying it takes: a `ClientHello`, or
//! the head of an HTTP request. Whatever was read goes on to whom it was meant for.

use std::rc::Rc;
use std::time::Duration;

use roost_core::Handling;
use roost_http1::{FieldSlots, HeadScanner, RequestError, RequestFacts, RequestHead};
use roost_tls_peek::{HANDSHAKE, client_hello};
use roost_wire::Level;
use tokio::net::TcpStream;

use crate::applog::Text;
use crate::buffer::Buffer;
use crate::client::reset;
use crate::dispatch::{Inbound, Named};
use crate::greeting::{self, Unsaid};
use crate::http::refusal::Refusal;
use crate::large_heads::SMALL;
use crate::route::Target;
use crate::worker::Worker;
use crate::{http, tcp, tls};

/// What a caller said first.
enum Opening {
    /// The name in its `ClientHello`, in lower case.
    Tls(Option<String>),
    /// The host of its request, in lower case.
    Http(RequestFacts, Option<String>),
    /// A request that nobody would understand.
    Malformed(RequestError),
    /// The beginning of a request, and then nothing more.
    Late,
    /// Nothing that can be answered, or more than there is room for.
    Nothing,
}

/// Serves one connection, or refuses it in the caller's own protocol.
pub(crate) async fn serve(worker: Rc<Worker>, mut stream: TcpStream, inbound: Inbound) {
    let mut read = Buffer::default();
    let said = {
        let member = worker.groups.enter_as_stranger();
        let patience = Duration::from_millis(worker.config().settings.head_timeout_ms);
        let mut scanner = HeadScanner::default();
        let ends_at_once = || worker.shared.hurries();
        let mut room = None;
        let mut has_room = || {
            if room.is_none() {
                let Inbound {
                    network,
                    client,
                    public,
                    ..
                } = &inbound;
                let settings = &worker.config().settings;
                room = worker
                    .shared
                    .room_for_head(settings, network, client.ip(), *public);
            }
            room.is_some()
        };
        let look = |bytes: &[u8]| {
            if bytes.len() > SMALL && !has_room() {
                return Some(Opening::Nothing);
            }
            look(bytes, &mut scanner)
        };
        greeting::hear(
            &mut stream,
            &mut read,
            patience,
            &member,
            ends_at_once,
            look,
        )
        .await
    };
    let opening = said.unwrap_or_else(|unsaid| match unsaid {
        Unsaid::Late => late(&read),
        Unsaid::Gone => Opening::Nothing,
    });
    match opening {
        Opening::Tls(name) => serve_tls(worker, stream, inbound, name, read).await,
        Opening::Http(facts, name) => {
            let name = name.as_deref();
            serve_http(worker, stream, inbound, facts, name, read).await;
        }
        Opening::Malformed(error) => {
            let refusal = Refusal::plain(error.status(), &error.to_string());
            http::refuse(&worker, stream, None, &refusal).await;
        }
        Opening::Late => {
            let refusal = Refusal::plain(408, "the request head took too long");
            http::refuse(&worker, stream, None, &refusal).await;
        }
        Opening::Nothing => reset(stream),
    }
}

/// What the bytes say; `None` when more are needed.
fn look(bytes: &[u8], scanner: &mut HeadScanner) -> Option<Opening> {
    if bytes.first() == Some(&HANDSHAKE) {
        return match client_hello(bytes) {
            Ok(Some(hello)) => Some(Opening::Tls(hello.server_name)),
            Ok(None) => None,
            Err(_) => Some(Opening::Nothing),
        };
    }
    let head = match scanner.scan_request(bytes) {
        Ok(Some(span)) => bytes.get(span.start..span.end).unwrap_or_default(),
        Ok(None) => return None,
        Err(error) => return Some(Opening::Malformed(error)),
    };
    Some(match RequestHead::parse(head, &mut FieldSlots::new()) {
        Ok(head) => {
            let name = head.called_name().map(str::to_ascii_lowercase);
            Opening::Http(head.facts, name)
        }
        Err(error) => Opening::Malformed(error),
    })
}

/// What is left to say to a caller whose time is over.
fn late(read: &Buffer) -> Opening {
    match read.unread().first() {
        None | Some(&HANDSHAKE) => Opening::Nothing,
        Some(_) => Opening::Late,
    }
}

/// TLS ends here where a handler says so, and goes to the Machine as it is where none does. Where the proxy
/// speaks plain HTTP it could not be understood.
async fn serve_tls(
    worker: Rc<Worker>,
    stream: TcpStream,
    inbound: Inbound,
    name: Option<String>,
    read: Buffer,
) {
    let named = name.map(|name| inbound.target_by_name(&worker, &name));
    match named {
        None | Some(Named::Nobody | Named::Denied) => reset(stream),
        Some(Named::App(target)) => serve_tls_of(worker, stream, target, read).await,
    }
}

async fn serve_tls_of(worker: Rc<Worker>, stream: TcpStream, target: Target, read: Buffer) {
    match Handling::of(&target.service_port) {
        Handling::Http => {
            let message = "a caller spoke TLS, which this port's handlers do not";
            refuse_protocol(&worker, &target, message);
            reset(stream);
        }
        Handling::Raw => tcp::serve(worker, stream, target, read).await,
        Handling::Tls | Handling::PgTls => tls::serve(worker, stream, target, read).await,
    }
}

/// HTTP goes to ports with the `http` handler. On a raw port later requests on the connection could mean
/// other apps without anybody noticing.
async fn serve_http(
    worker: Rc<Worker>,
    stream: TcpStream,
    inbound: Inbound,
    facts: RequestFacts,
    name: Option<&str>,
    read: Buffer,
) {
    let named = name.map(|name| inbound.target_by_name(&worker, name));
    match named {
        // As if there were none: who may not call does not learn which names there are.
        None | Some(Named::Nobody | Named::Denied) => {
            let message = "no app at this address is called so on this port";
            let refusal = Refusal::coded(404, "PR01", message);
            http::refuse(&worker, stream, Some(facts), &refusal).await;
        }
        Some(Named::App(target)) if Handling::of(&target.service_port) == Handling::Http => {
            http::serve(worker, stream, target, read).await;
        }
        Some(Named::App(target)) => {
            let message = "a request without TLS on a port that takes only TLS at a shared address";
            refuse_protocol(&worker, &target, message);
            let refusal = Refusal::coded(400, "PR01", message);
            http::refuse(&worker, stream, Some(facts), &refusal).await;
        }
    }
}

fn refuse_protocol(worker: &Worker, target: &Target, message: &str) {
    let text = || Text::from(format!("{message} (port {})", target.port));
    let app = &target.app.name;
    let code = Some("PR01");
    worker.shared.log_with(Level::Error, app, None, code, text);
}
