//! One run of a check.

use std::io;

use http::StatusCode;
use roost_http1::Method;
use roost_wire::{Check, CheckKind, HttpCheck, Machine};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::checks::output::{printable, words};
use crate::checks::trust::Trust;
use crate::checks::{answer, request};
use crate::route::{DialError, dial};
use crate::shared::Shared;

/// Why a check did not pass.
pub(super) enum Failure {
    /// This host could not even ask, which says nothing about the Machine.
    Here(io::Error),
    /// A line for people.
    There(String),
}

/// Asks a port of a Machine. Gives a line for people.
pub(super) async fn ask(
    shared: &Shared,
    trust: &Trust,
    machine: &Machine,
    check: &Check,
) -> Result<String, Failure> {
    let port = check.port;
    if check.kind == CheckKind::Other {
        let message = "this proxy does not know such checks".to_owned();
        return Err(Failure::There(message));
    }
    let connected = match dial(shared, machine, port).await {
        Ok(stream) => Ok(stream),
        Err(DialError::Here(error)) => return Err(Failure::Here(error)),
        Err(DialError::There(error)) => {
            Err(format!("cannot connect to port {port}: {}", words(&error)))
        }
    };
    let said = if check.kind == CheckKind::Tcp {
        connected.map(|_| format!("port {port} accepts"))
    } else {
        ask_for_page(connected, trust, machine, check).await
    };
    said.map_err(Failure::There)
}

async fn ask_for_page(
    connected: Result<TcpStream, String>,
    trust: &Trust,
    machine: &Machine,
    check: &Check,
) -> Result<String, String> {
    let usual = HttpCheck::default();
    let http = check.http.as_deref().unwrap_or(&usual);
    let (name, port) = (format!("{}.flycast", machine.app), check.port);
    let scheme = if http.tls { "https" } else { "http" };
    let what = format!("{} {scheme}://{name}:{port}{}", http.method, http.path);
    let asked = ask_http(connected, trust, http, &name).await;
    let line = |said: &str| printable(&format!("{what}: {said}"));
    asked.map(|said| line(&said)).map_err(|said| line(&said))
}

async fn ask_http(
    connected: Result<TcpStream, String>,
    trust: &Trust,
    check: &HttpCheck,
    name: &str,
) -> Result<String, String> {
    let request = request::write(check, name)?;
    let stream = connected?;
    if !check.tls {
        return converse(stream, &request, check).await;
    }
    let server = check.tls_server_name.as_deref().unwrap_or(name).to_owned();
    let server = ServerName::try_from(server).map_err(|_| "a bad tls_server_name".to_owned())?;
    let connector = TlsConnector::from(trust.config(check.tls_skip_verify)?);
    let stream = connector.connect(server, stream).await;
    let stream = stream.map_err(|error| format!("no TLS: {error}"))?;
    converse(stream, &request, check).await
}

async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
    check: &HttpCheck,
) -> Result<String, String> {
    let sent = stream.write_all(request).await;
    sent.map_err(|error| format!("the request was not taken: {}", words(&error)))?;
    let method = if &*check.method == "HEAD" {
        Method::Head
    } else {
        Method::Get
    };
    let answer = answer::read(&mut stream, method).await?;
    let status = StatusCode::from_u16(answer.status).ok();
    let reason = status.and_then(|status| status.canonical_reason());
    let mut said = format!("{} {}", answer.status, reason.unwrap_or_default());
    if !answer.body.is_empty() {
        said += ": ";
        said += &String::from_utf8_lossy(&answer.body);
    }
    if (200..300).contains(&answer.status) {
        Ok(said)
    } else {
        Err(said)
    }
}
