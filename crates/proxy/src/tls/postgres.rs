//! What a `PostgreSQL` client says before TLS.

use std::rc::Rc;
use std::time::Duration;

use roost_pg_startup::{Opening, UNWILLING, WILLING, opening, refusal};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Failure;
use crate::buffer::Buffer;
use crate::client::send;
use crate::greeting::{self, Unsaid};
use crate::http::ending::{self, Ending};
use crate::route::Target;
use crate::worker::Worker;

/// How long a refused client may take to read why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeted {
    /// TLS, which the client asked for.
    Asked,
    /// TLS, of which the beginning was read.
    Direct,
    /// A request for a cancel, which was read. It may come without TLS: it says nothing that is secret
    /// to those who could see the connection it is about.
    Cancel,
    /// A session without TLS.
    Plain,
}

/// Answers what a client asks until TLS or something else begins.
pub(super) async fn greet(
    worker: &Rc<Worker>,
    stream: &mut TcpStream,
    target: &Target,
    first: &mut Buffer,
    patience: Duration,
) -> Result<Greeted, Failure> {
    let mut refused = false;
    loop {
        match hear(worker, stream, target, first, patience).await? {
            Opening::Ssl => {
                first.clear();
                answer(stream, WILLING).await?;
                return Ok(Greeted::Asked);
            }
            Opening::GssEnc if !refused => {
                refused = true;
                first.clear();
                answer(stream, UNWILLING).await?;
            }
            Opening::GssEnc => return Err(Failure::new("PT04", "a caller asked for GSSAPI twice")),
            Opening::Tls => return Ok(Greeted::Direct),
            Opening::Cancel => return Ok(Greeted::Cancel),
            Opening::Startup => return Ok(Greeted::Plain),
        }
    }
}

async fn hear(
    worker: &Rc<Worker>,
    stream: &mut TcpStream,
    target: &Target,
    first: &mut Buffer,
    patience: Duration,
) -> Result<Opening, Failure> {
    let look = |bytes: &[u8]| opening(bytes).transpose();
    // Some of it may have been read already.
    let said = if let Some(said) = look(first.unread()) {
        Ok(said)
    } else {
        let ends_at_once = || worker.ends_at_once(target);
        greeting::hear(stream, first, patience, &target.group, ends_at_once, look).await
    };
    match said {
        Ok(Ok(opening)) => Ok(opening),
        Ok(Err(error)) => Err(Failure::new("PT04", format!("a caller sent {error}"))),
        Err(Unsaid::Gone) if first.is_empty() => Err(Failure::silent()),
        Err(Unsaid::Gone) => Err(Failure::new("PT03", "a caller left before TLS began")),
        Err(Unsaid::Late) => Err(Failure::late(patience)),
    }
}

async fn answer(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), Failure> {
    let sent = send(stream, bytes).await;
    sent.map_err(|error| Failure::new("PT07", format!("a caller was not answered: {error}")))
}

/// Tells a client that began without TLS, in its own protocol.
pub(super) async fn refuse(mut stream: TcpStream) {
    let hint = "use sslmode=require or stronger";
    let message = refusal(
        "SSL required: this port takes connections with TLS only",
        hint,
    );
    let told = timeout(LAST_WORDS, send(&mut stream, &message)).await;
    let ending = if matches!(told, Ok(Ok(()))) {
        Ending::Linger
    } else {
        Ending::Reset
    };
    ending::end(stream, ending).await;
}
