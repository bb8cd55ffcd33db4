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
//! `fly-replay` is recognised and never passed on; since requests are not replayed here, it is answered
//! with 502 and `PA03`, and the app's log says so.

use std::rc::Rc;

use tokio::net::TcpStream;

use crate::route::Target;
use crate::worker::Worker;

mod buffer;
pub(crate) mod closing;
mod download;
mod ending;
mod exchange;
mod intake;
pub(crate) mod pool;
mod refusal;
mod session;
mod stamp;
mod stash;
mod tunnel;
mod upload;
mod watchdog;

/// Serves one client connection until it ends.
pub(crate) async fn serve(worker: Rc<Worker>, mut stream: TcpStream, target: Target) {
    let ending = {
        let (reader, writer) = stream.split();
        session::Session::new(&worker, &target, reader, writer)
            .run()
            .await
    };
    ending::end(stream, ending).await;
}
