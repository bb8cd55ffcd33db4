//! One request to a Machine that speaks HTTP/2: a connection of HTTP/1.1 that there is not.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{Reason, RecvStream};
use http::{Method, Request, Response, StatusCode, Uri};
use roost_http1::{
    ChunkedScanner, FieldSlots, HeadScanner, RequestError, RequestFraming, RequestHead,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::carried::Busy;
use super::inflow::{Form, Inflow, write_field};
use super::outflow::{Body, Outflow};
use super::{Unsendable, broken, headers, path_of, websocket};

/// A request and its response, written and read as on a connection of HTTP/1.1. When it is dropped before
/// both are complete, the Machine is told.
#[derive(Debug)]
pub(crate) struct MachineStream {
    connection: SendRequest<Bytes>,
    sending: Sending,
    receiving: Receiving,
    asked: Asked,
    end: End,
    busy: Busy,
}

/// How a request ended that got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With the connection, if at all.
    Lost,
    /// The Machine said that it did nothing about it.
    Unprocessed,
    /// The Machine ended it, and may have done something.
    Reset,
    /// It has no form in HTTP/2.
    Unsendable,
}

#[derive(Debug)]
enum Sending {
    /// Nothing was sent.
    Head,
    Body(Outflow),
}

#[derive(Debug)]
enum Receiving {
    /// Nothing was asked.
    Nothing,
    Head(ResponseFuture),
    /// Interim heads, before the final one.
    Interim(ResponseFuture, Vec<u8>),
    Body(Inflow),
    /// The request could not be sent.
    Failed(io::ErrorKind),
}

/// What the form of the response depends on.
#[derive(Debug, Default)]
struct Asked {
    head: bool,
    /// The key with which the client opens a WebSocket.
    key: Option<Vec<u8>>,
}

impl MachineStream {
    pub(super) fn new(connection: SendRequest<Bytes>, busy: Busy) -> Self {
        Self {
            connection,
            sending: Sending::Head,
            receiving: Receiving::Nothing,
            asked: Asked::default(),
            end: End::Lost,
            busy,
        }
    }

    /// Whether a request without an answer may be sent again: whatever its method is when the Machine did
    /// nothing about it (RFC 9113, 8.7), and when its connection ended, if it is `repeatable`.
    pub(crate) fn may_send_again(&self, repeatable: bool) -> bool {
        match self.end {
            End::Unprocessed => true,
            End::Lost => repeatable,
            End::Reset | End::Unsendable => false,
        }
    }

    /// The Machine lets streams be opened for a WebSocket (RFC 8441, 3).
    pub(crate) fn takes_websockets(&self) -> bool {
        self.connection.is_extended_connect_protocol_enabled()
    }

    fn write_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.send_head(bytes);
        if let Err(error) = &written {
            if Unsendable::reason(error).is_some() {
                self.end = End::Unsendable;
            }
            self.receiving = Receiving::Failed(error.kind());
        }
        written
    }

    fn send_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let refuse = |error: RequestError| io::Error::other(error);
        let span = HeadScanner::for_written()
            .scan_request(bytes)
            .map_err(refuse)?;
        let end = span.ok_or(io::ErrorKind::InvalidData)?.end;
        let mut slots = FieldSlots::new();
        let text = bytes.get(..end).unwrap_or_default();
        let head = RequestHead::parse(text, &mut slots).map_err(refuse)?;
        self.asked.head = head.method() == "HEAD";
        let (request, body) = if head.facts.upgrade {
            self.connect(&head)?
        } else {
            (translate(&head)?, body_of(head.facts.framing))
        };
        let ends = matches!(body, Body::Done);
        match self.connection.send_request(request, ends) {
            Ok((response, flow)) => {
                self.busy.begin(response.stream_id().as_u32());
                self.receiving = Receiving::Head(response);
                self.sending = Sending::Body(Outflow::new(flow, body));
                Ok(end)
            }
            Err(error) => {
                self.end = End::Unprocessed;
                Err(broken(error))
            }
        }
    }

    /// A WebSocket's opening, which has no key here.
    fn connect(&mut self, head: &RequestHead<'_, '_>) -> io::Result<(Request<()>, Body)> {
        let mut request = translate(head)?;
        let key = request.headers_mut().remove(websocket::KEY);
        let key = key.ok_or(Unsendable("a WebSocket without Sec-WebSocket-Key"))?;
        self.asked.key = Some(key.as_bytes().to_vec());
        *request.method_mut() = Method::CONNECT;
        let protocol = Protocol::from_static(websocket::PROTOCOL);
        request.extensions_mut().insert(protocol);
        Ok((request, Body::Tunnel))
    }

    /// What goes wrong before the response is there.
    fn fail(&mut self, error: h2::Error) -> io::Error {
        let refused = error.reason() == Some(Reason::REFUSED_STREAM);
        self.end = match (error.is_remote(), error.is_reset()) {
            (true, true) if refused => End::Unprocessed,
            (true, false) if error.is_go_away() => End::Unprocessed,
            (_, true) => End::Reset,
            (_, false) => End::Lost,
        };
        broken(error)
    }

    /// Gets the response's next head.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Receiving::Head(response) = &mut self.receiving else {
            return Poll::Pending;
        };
        if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
            let interim = interim.map_err(|error| self.fail(error))?;
            self.busy.read_head();
            let text = interim_head(&interim);
            if let Receiving::Head(response) =
                std::mem::replace(&mut self.receiving, Receiving::Nothing)
            {
                self.receiving = Receiving::Interim(response, text);
            }
            return Poll::Ready(Ok(()));
        }
        let response = ready!(Pin::new(response).poll(cx)).map_err(|error| self.fail(error))?;
        self.busy.read_head();
        self.receiving = Receiving::Body(self.asked.answer(response));
        Poll::Ready(Ok(()))
    }
}

fn interim_head(response: &Response<()>) -> Vec<u8> {
    let mut text = status_line(response.status());
    write_fields(response, &mut text);
    text.extend_from_slice(b"\r\n");
    text
}

impl Asked {
    /// A response, from its head on.
    fn answer(&self, mut response: Response<RecvStream>) -> Inflow {
        let accepted = self.key.as_ref().filter(|_| response.status().is_success());
        let (mut text, form) = if let Some(key) = accepted {
            response.headers_mut().remove(websocket::ACCEPT);
            (switching(key), Form::Plain)
        } else {
            let mut text = status_line(response.status());
            let form = self.write_framing(&response, &mut text);
            (text, form)
        };
        write_fields(&response, &mut text);
        text.extend_from_slice(b"\r\n");
        Inflow::new(response.into_body(), form, text)
    }

    fn write_framing(&self, response: &Response<RecvStream>, text: &mut Vec<u8>) -> Form {
        let bare = self.head || matches!(response.status().as_u16(), 204 | 304);
        if bare
            || response
                .headers()
                .contains_key(http::header::CONTENT_LENGTH)
        {
            return Form::Plain;
        }
        if response.body().is_end_stream() {
            write_field(text, "content-length", b"0");
            return Form::Plain;
        }
        write_field(text, "transfer-encoding", b"chunked");
        Form::Chunks
    }
}

fn status_line(status: StatusCode) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or_default();
    format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes()
}

/// The head that tells the client of a WebSocket that it is open.
fn switching(key: &[u8]) -> Vec<u8> {
    let mut text = status_line(StatusCode::SWITCHING_PROTOCOLS);
    write_field(&mut text, "connection", b"upgrade");
    write_field(&mut text, "upgrade", websocket::PROTOCOL.as_bytes());
    let accept = websocket::accept_for(key);
    write_field(&mut text, websocket::ACCEPT, accept.as_bytes());
    text
}

fn write_fields<B>(response: &Response<B>, text: &mut Vec<u8>) {
    for (name, value) in response.headers() {
        write_field(text, name.as_str(), value.as_bytes());
    }
}

fn translate(head: &RequestHead<'_, '_>) -> Result<Request<()>, Unsendable> {
    let mut request = Request::new(());
    let method = head.method().parse();
    *request.method_mut() = method.map_err(|_| Unsendable("a method that HTTP/2 does not have"))?;
    *request.uri_mut() = uri_of(head)?;
    *request.version_mut() = http::Version::HTTP_2;
    for (name, value) in head.end_to_end() {
        headers::add(request.headers_mut(), name, value);
    }
    if head.takes_trailers() {
        headers::add(request.headers_mut(), "te", b"trailers");
    }
    Ok(request)
}

fn uri_of(head: &RequestHead<'_, '_>) -> Result<Uri, Unsendable> {
    let uri = Uri::builder()
        .scheme("http")
        .authority(head.called_host().unwrap_or_default())
        .path_and_query(path_of(head));
    let invalid = Unsendable("a byte in the path or in Host that must be encoded");
    uri.build().map_err(|_| invalid)
}

fn body_of(framing: RequestFraming) -> Body {
    match framing {
        RequestFraming::None | RequestFraming::Length(0) => Body::Done,
        RequestFraming::Length(length) => Body::Length(length),
        RequestFraming::Chunked => Body::Chunks(Box::<ChunkedScanner>::default()),
    }
}

/// Does `work`, in which `stream` is used, and takes in meanwhile what comes on it.
pub(crate) async fn absorbing<O>(
    stream: &RefCell<MachineStream>,
    work: impl Future<Output = O>,
) -> O {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| {
        if let Receiving::Body(body) = &mut stream.borrow_mut().receiving {
            // Who reads finds out that it broke off.
            body.absorb(cx);
        }
        work.as_mut().poll(cx)
    })
    .await
}

impl AsyncRead for MachineStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.receiving {
                Receiving::Nothing => return Poll::Pending,
                Receiving::Failed(kind) => return Poll::Ready(Err((*kind).into())),
                Receiving::Head(_) => ready!(this.poll_head(cx))?,
                Receiving::Body(body) => return body.poll_read(cx, out),
                Receiving::Interim(_, text) => {
                    let count = text.len().min(out.remaining());
                    out.put_slice(text.get(..count).unwrap_or_default());
                    text.drain(..count);
                    this.end_interim();
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl MachineStream {
    /// Goes on to the next head once an interim one was read.
    fn end_interim(&mut self) {
        self.receiving = match std::mem::replace(&mut self.receiving, Receiving::Nothing) {
            Receiving::Interim(response, text) if text.is_empty() => Receiving::Head(response),
            other => other,
        };
    }
}

impl AsyncWrite for MachineStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match &mut this.sending {
            Sending::Head => Poll::Ready(this.write_head(bytes)),
            Sending::Body(flow) => flow.poll_write(cx, bytes),
        }
    }

    /// What was taken leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match &mut self.get_mut().sending {
            Sending::Head => Ok(()),
            Sending::Body(flow) => flow.finish(),
        })
    }
}
