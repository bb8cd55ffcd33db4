//! One run of a check.

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
use crate::route::dial;
use crate::shared::Shared;

/// Asks a port of a Machine. Gives a line for people, as an error when the check fails.
pub(super) async fn ask(
    shared: &Shared,
    trust: &Trust,
    machine: &Machine,
    check: &Check,
) -> Result<String, String> {
    let port = check.port;
    let connected = async {
        let stream = dial(shared, machine, port).await;
        stream.map_err(|error| format!("cannot connect to port {port}: {}", words(error.error())))
    };
    match check.kind {
        CheckKind::Tcp => connected.await.map(|_| format!("port {port} accepts")),
        CheckKind::Http => {
            let usual = HttpCheck::default();
            let http = check.http.as_deref().unwrap_or(&usual);
            let name = format!("{}.flycast", machine.app);
            let scheme = if http.tls { "https" } else { "http" };
            let what = format!("{} {scheme}://{name}:{port}{}", http.method, http.path);
            let asked = ask_http(connected.await, trust, http, &name).await;
            let line = |said: &str| printable(&format!("{what}: {said}"));
            asked.map(|said| line(&said)).map_err(|said| line(&said))
        }
        CheckKind::Other => Err("this proxy does not know such checks".to_owned()),
    }
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
