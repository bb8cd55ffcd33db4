//! The answer to an HTTP check: its head, and what of its body arrives with it.
//!
//! Whoever answers is not trusted: heads and bodies are bounded, and the run as a whole has its timeout.

use std::io;
use std::time::Duration;

use roost_http1::{FieldSlots, HeadScanner, Method, ResponseFraming, ResponseHead};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::checks::output::{MAX_OUTPUT, unchunked, words};

/// Interim responses before the one that counts.
const MAX_INTERIM: usize = 8;
/// How long the body may take to follow its head: it is for people only, and calls may wait.
const BODY_PATIENCE: Duration = Duration::from_millis(20);
const READ: usize = 4 * 1024;

/// What is looked at of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The beginning of its body.
    pub(super) body: Vec<u8>,
}

/// Reads the response to a request with `method`; the error is one sentence.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    method: Method,
) -> Result<Answer, String> {
    let mut bytes = Vec::new();
    for _ in 0..MAX_INTERIM {
        let end = head_end(stream, &mut bytes).await?;
        let mut slots = FieldSlots::new();
        let head = bytes.get(..end).unwrap_or_default();
        let head = ResponseHead::parse(head, &mut slots, method)
            .map_err(|error| format!("a bad response: {}", error.0))?;
        let (status, framing, interim) = (head.status, head.framing, head.is_interim());
        bytes.drain(..end);
        if !interim {
            // When it takes longer, what has come by then is shown.
            let _ = tokio::time::timeout(BODY_PATIENCE, rest(stream, &mut bytes, framing)).await;
            let body = shown(bytes, framing);
            return Ok(Answer { status, body });
        }
    }
    Err("a bad response: too many interim responses".to_owned())
}

/// Reads until the head is complete, and says where it ends.
async fn head_end(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
) -> Result<usize, String> {
    let mut scanner = HeadScanner::default();
    loop {
        let found = scanner.scan_response(bytes);
        if let Some(span) = found.map_err(|error| format!("a bad response: {}", error.0))? {
            return Ok(span.end);
        }
        bytes.reserve(READ);
        match stream.read_buf(bytes).await {
            Ok(0) if bytes.is_empty() => return Err("closed without an answer".to_owned()),
            Ok(0) => return Err("closed within the answer".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(format!("no answer: {}", words(&error))),
        }
    }
}

async fn rest(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
    framing: ResponseFraming,
) -> io::Result<()> {
    let most = match framing {
        ResponseFraming::None => 0,
        ResponseFraming::Length(length) => usize::try_from(length).unwrap_or(MAX_OUTPUT),
        ResponseFraming::Chunked | ResponseFraming::UntilClose => MAX_OUTPUT,
    };
    while bytes.len() < most.min(MAX_OUTPUT) {
        bytes.reserve(READ);
        if stream.read_buf(bytes).await? == 0 {
            break;
        }
        if framing == ResponseFraming::Chunked && bytes.ends_with(b"0\r\n\r\n") {
            break;
        }
    }
    Ok(())
}

fn shown(mut bytes: Vec<u8>, framing: ResponseFraming) -> Vec<u8> {
    match framing {
        ResponseFraming::None => Vec::new(),
        ResponseFraming::Chunked => unchunked(&bytes),
        ResponseFraming::Length(length) => {
            bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
            bytes
        }
        ResponseFraming::UntilClose => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, read};
    use roost_http1::Method;

    async fn answer(bytes: &[u8]) -> Result<Answer, String> {
        read(&mut &*bytes, Method::Get).await
    }

    /// The status, and the beginning of the body however it is delimited.
    #[tokio::test(flavor = "current_thread")]
    async fn reads_head_and_body() {
        let rows: [(&[u8], u16, &[u8]); 5] = [
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                200,
                b"ok",
            ),
            (
                b"HTTP/1.1 103 H\r\n\r\nHTTP/1.1 503 No\r\n\r\nlater",
                503,
                b"later",
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                200,
                b"ok",
            ),
            (b"HTTP/1.0 301 M\r\nLocation: /x\r\n\r\n", 301, b""),
            (b"HTTP/1.1 204 N\r\n\r\nsmuggled", 204, b""),
        ];
        for (bytes, status, body) in rows {
            let expected = Answer {
                status,
                body: body.to_vec(),
            };
            assert_eq!(answer(bytes).await, Ok(expected));
        }
    }

    /// Junk, endless heads and endless interim responses are answers that fail.
    #[tokio::test(flavor = "current_thread")]
    async fn bad_answers_fail() {
        let endless = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n".repeat(20_000)].concat();
        let interim = b"HTTP/1.1 100 C\r\n\r\n".repeat(9);
        let rows: [&[u8]; 6] = [
            b"",
            b"HTTP/1.1 200 OK\r\n",
            b"SSH-2.0-OpenSSH\r\n\r\n",
            &endless,
            &interim,
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        ];
        for bytes in rows {
            let found = answer(bytes).await;
            assert!(found.is_err(), "{found:?}");
        }
    }
}
