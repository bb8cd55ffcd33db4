//! The head of a response, which the proxy wrote in HTTP/1.1, for a client that speaks HTTP/2.

use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode};
use roost_http1::{ChunkedScanner, FieldSlots, HeadScanner, Method, ResponseFraming, ResponseHead};

use super::outflow::Body;
use super::{Unsendable, headers, websocket};

/// What a client asked for, as far as the response's form depends on it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// The key that opens a WebSocket.
    pub(super) key: Option<String>,
    pub(super) grpc: bool,
}

/// One head.
#[derive(Debug)]
pub(super) enum Answer {
    /// Another one follows.
    Interim(Response<()>),
    /// The last one, and what follows it.
    Final(Response<()>, Body),
}

impl Asked {
    /// Reads the head that `bytes` begin with; gives its length too.
    pub(super) fn answer(&self, bytes: &[u8]) -> Result<(Answer, usize), Unsendable> {
        let refuse = |error: roost_http1::ResponseError| Unsendable(error.0);
        let span = HeadScanner::for_written()
            .scan_response(bytes)
            .map_err(refuse)?;
        let end = span.ok_or(Unsendable("its head is cut short"))?.end;
        let mut slots = FieldSlots::new();
        let text = bytes.get(..end).unwrap_or_default();
        let head = ResponseHead::parse(text, &mut slots, self.method).map_err(refuse)?;
        Ok((self.translate(&head)?, end))
    }

    fn translate(&self, head: &ResponseHead<'_, '_>) -> Result<Answer, Unsendable> {
        let mut response = Response::new(());
        let opened = head.status == 101;
        *response.status_mut() = self.status(head)?;
        for (name, value) in head.end_to_end() {
            let ours = opened && name.eq_ignore_ascii_case(websocket::ACCEPT);
            if !ours {
                headers::add(response.headers_mut(), name, value);
            }
        }
        if head.is_interim() {
            return Ok(Answer::Interim(response));
        }
        // A trailers-only response of gRPC has no other fields than its own.
        if self.grpc && head.framing == ResponseFraming::Length(0) {
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        let body = match head.framing {
            _ if opened => Body::Tunnel,
            ResponseFraming::None | ResponseFraming::Length(0) => Body::Done,
            ResponseFraming::Length(length) => Body::Length(length),
            ResponseFraming::Chunked => Body::Chunks(Box::<ChunkedScanner>::default()),
            ResponseFraming::UntilClose => return Err(Unsendable("its end is not told")),
        };
        Ok(Answer::Final(response, body))
    }

    /// The status for a client that may have asked for a WebSocket, where 2xx is the word for yes.
    fn status(&self, head: &ResponseHead<'_, '_>) -> Result<StatusCode, Unsendable> {
        let status = match (&self.key, head.status) {
            (Some(key), 101) => {
                let expected = websocket::accept_for(key.as_bytes());
                match head.only(websocket::ACCEPT) {
                    Some(accept) if accept == expected.as_bytes() => 200,
                    _ => return Err(Unsendable("its Sec-WebSocket-Accept is for another key")),
                }
            }
            (Some(_), 200..=299) => 502,
            (None, 101) => return Err(Unsendable("an upgrade that HTTP/2 does not have")),
            (_, status) => status,
        };
        StatusCode::from_u16(status).map_err(|_| Unsendable("an invalid status"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(key: Option<&str>) -> Asked {
        Asked {
            method: Method::Get,
            key: key.map(Into::into),
            grpc: false,
        }
    }

    fn answer(asked: &Asked, text: &str) -> Result<(u16, Body), Unsendable> {
        let (answer, end) = asked.answer(text.as_bytes())?;
        assert_eq!(end, text.len());
        match answer {
            Answer::Final(response, body) => Ok((response.status().as_u16(), body)),
            Answer::Interim(_) => panic!("an interim response"),
        }
    }

    /// Only the right answer to the key opens a WebSocket, and a plain success does not pass for one.
    #[test]
    fn opens_a_websocket_only_for_its_key() {
        let asked = asked(Some("dGhlIHNhbXBsZSBub25jZQ=="));
        let switch = |accept: &str| {
            format!(
                "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            )
        };
        let opened = answer(&asked, &switch("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(matches!(opened, Ok((200, Body::Tunnel))));
        assert!(answer(&asked, &switch("s3pPLMBiTxaQ9kYGzzhZRbK+xOp=")).is_err());
        let plain = answer(&asked, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert!(matches!(plain, Ok((502, Body::Done))));
        let refused = answer(&asked, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\n");
        assert!(matches!(refused, Ok((403, Body::Length(2)))));
    }
}
