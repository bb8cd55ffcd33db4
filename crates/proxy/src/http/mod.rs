//! The `http` handler: HTTP/1.1 between a client and the Machines of an app.
//!
//! One task serves one client connection from its first request to its last. Within a request the two
//! directions are two futures of that task ([`upload`], [`download`]), polled together by [`exchange`]:
//! a response may begin, and end, before its request has. A Machine is only held while a request is under
//! way; an idle client holds none, and an idle connection to a Machine rests in the [`pool`].
//!
//! What may be sent twice: a request for which no Machine was reached, freely; a request that an unused
//! connection swallowed by ending at that moment, once, when its method may be repeated and its body is
//! still at hand. Nothing else, and nothing once the client has a byte of the response.
//!
//! How errors end: before the response began, with 502 (a Machine was reached) or 503 (none was), a line
//! of text and `Fly-Error`; after that, with a reset, so that no half response looks whole.
//!
//! An answer that says `fly-replay` is none: it is dropped, whatever its status, and the request is sent again
//! where it says ([`crate::replay`]). What could not be sent again, since more of its body is gone than may be
//! kept, is answered with 502 and `PA01`.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use roost_http1::{RequestFacts, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::buffer::Buffer;
use crate::client::{self, ClientStream};
use crate::http::ending::Ending;
use crate::http::refusal::Refusal;
use crate::http::session::{Over, Session};
use crate::http::stamp::Stamp;
use crate::http2;
use crate::route::Target;
use crate::worker::Worker;

mod body;
mod coded;
mod download;
pub(crate) mod ending;
mod exchange;
mod intake;
mod link;
pub(crate) mod pool;
pub(crate) mod refusal;
mod resend;
mod session;
mod source;
mod stamp;
mod stash;
mod tunnel;
mod upload;
mod watchdog;

pub(crate) use session::Manner;
pub(crate) use watchdog::{Activity, Watchdog};

/// Serves one client connection until it ends. `first` was read from it already.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    mut stream: impl ClientStream,
    target: Target,
    first: Buffer,
) {
    let over = {
        let manner = Manner::new(&worker, &target, Version::Http11);
        let (reader, writer) = stream.split();
        let session = Session::new(&worker, &target, &manner, reader, writer, first);
        let serving = pin!(session.run());
        target.group.unless_over(serving).await
    };
    match over {
        Some(Over::End(ending)) => ending::end(stream, ending).await,
        // On the heap: a connection of HTTP/1 does not keep room for it.
        Some(Over::Http2(opening)) => {
            Box::pin(http2::serve(worker, stream, target, opening)).await;
        }
        None => ending::end(stream, Ending::Reset).await,
    }
}

/// Serves the request of one stream of HTTP/2, which is read and answered in the form of HTTP/1.1. The
/// response is complete unless the stream says otherwise.
pub(crate) async fn serve_stream(
    worker: &Rc<Worker>,
    target: &Target,
    manner: &Manner,
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
) {
    let first = Buffer::default();
    let session = Session::new(worker, target, manner, reader, writer, first);
    session.run().await;
}

/// Refuses the first request of a connection that was given to no app, and ends the connection. `facts` are
/// those of the request when it could be read.
pub(crate) async fn refuse(
    worker: &Worker,
    mut stream: impl ClientStream,
    facts: Option<RequestFacts>,
    refusal: &Refusal<'_>,
) {
    let mut stamp = Stamp::new(&worker.config().region);
    let mut output = Vec::new();
    let facts = facts.unwrap_or(refusal::UNREAD);
    refusal.write(&mut stamp, facts, true, &mut output);
    let patience = Duration::from_millis(worker.config().settings.http_idle_ms);
    let ending = match tokio::time::timeout(patience, client::send(&mut stream, &output)).await {
        Ok(Ok(())) => Ending::Linger,
        Ok(Err(_)) => Ending::Close,
        Err(_) => Ending::Reset,
    };
    ending::end(stream, ending).await;
}
