//! One request of a client in HTTP/2.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};

use super::connection::Shared;
use super::half::Half;
use super::request::{self, Fault};
use super::room::Room;
use super::stream::Stream;
use crate::http;

/// Serves a request to its end.
pub(super) async fn serve(
    shared: &Shared,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    room: &Arc<Room>,
) {
    let (parts, from) = request.into_parts();
    let head = match request::head(&parts, from.is_end_stream()) {
        Ok(head) => head,
        Err(Fault::Malformed) => return respond.send_reset(Reason::PROTOCOL_ERROR),
        Err(Fault::Connect) => return refuse_connect(respond),
    };
    let stream = RefCell::new(Stream::new(head, from, respond, room));
    let (reader, writer) = (Half::new(&stream), Half::new(&stream));
    let Shared {
        worker,
        target,
        manner,
    } = shared;
    let mut served = pin!(http::serve_stream(worker, target, manner, reader, writer));
    std::future::poll_fn(|cx| {
        if stream.borrow_mut().absorb(cx) {
            served.as_mut().poll(cx)
        } else {
            // Also when nobody reads it, since enough was read ahead of its turn.
            Poll::Ready(())
        }
    })
    .await;
}

fn refuse_connect(mut respond: SendResponse<Bytes>) {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
    // It fails when the client is gone.
    let _ = respond.send_response(response, true);
}
