//! Heads and chunks of HTTP/1.

use std::net::IpAddr;

use roost_http1::{
    ChunkedScanner, ClientSide, DATE_LEN, FieldSlots, ForwardedFields, HeadScanner, HeadSpan,
    MAX_HEAD, Method, Origin, RequestHead, ResponseFraming, ResponseHead, ResponsePolicy, Version,
    write_chunk, write_trailers,
};

/// A request head is refused, or what the Machine gets of it is a head of its own: with one host, framed
/// once, and alike in every way that counts.
pub(crate) fn request(bytes: &[u8]) {
    let span = scan(bytes, HeadScanner::scan_request);
    let Some(span) = span else { return };
    let mut slots = FieldSlots::new();
    let Ok(head) = RequestHead::parse(&bytes[span.start..span.end], &mut slots) else {
        return;
    };
    let mut out = Vec::new();
    forwarded().write_request(&head, &mut out);
    let again = HeadScanner::for_written()
        .scan_request(&out)
        .unwrap()
        .unwrap();
    assert_eq!((again.start, again.end), (0, out.len()), "one head");
    let mut slots = FieldSlots::new();
    let second = RequestHead::parse(&out, &mut slots).unwrap();
    assert_eq!(second.facts.framing, head.facts.framing);
    assert_eq!(second.facts.upgrade, head.facts.upgrade);
    assert_eq!(
        (second.method(), second.path()),
        (head.method(), &*absolute(head.path()))
    );
    let names = names(&out);
    for once in [
        "host",
        "fly-client-ip",
        "fly-forwarded-port",
        "x-forwarded-proto",
    ] {
        assert_eq!(count(&names, once), 1, "{once}");
    }
    let framed = count(&names, "content-length") + count(&names, "transfer-encoding");
    assert!(framed <= 1, "framed once");
    let sent = theirs(&bytes[span.start..span.end]);
    assert_eq!(theirs(&out), sent, "what is not the proxy's stays");
}

/// An absolute form may leave its path out.
fn absolute(path: &str) -> String {
    match path {
        "" => "/".to_owned(),
        path if path.starts_with('?') => format!("/{path}"),
        path => path.to_owned(),
    }
}

/// A response head is refused, or the client gets a head of its own that delimits the same body.
pub(crate) fn response(bytes: &[u8]) {
    let Some(span) = scan(bytes, HeadScanner::scan_response) else {
        return;
    };
    for method in [Method::Get, Method::Head] {
        let mut slots = FieldSlots::new();
        let Ok(head) = ResponseHead::parse(&bytes[span.start..span.end], &mut slots, method) else {
            continue;
        };
        let side = ClientSide {
            version: Version::Http11,
            close: false,
            server: "s",
            request_id: b"id",
            date: &[b'0'; DATE_LEN],
            coding: None,
        };
        let mut out = Vec::new();
        ResponsePolicy::default().write_response(&head, &side, &mut out);
        let again = HeadScanner::for_written()
            .scan_response(&out)
            .unwrap()
            .unwrap();
        assert_eq!((again.start, again.end), (0, out.len()), "one head");
        let mut slots = FieldSlots::new();
        let second = ResponseHead::parse(&out, &mut slots, method).unwrap();
        assert_eq!(second.status, head.status);
        let expected = match head.framing {
            ResponseFraming::UntilClose => ResponseFraming::Chunked,
            framing => framing,
        };
        assert_eq!(second.framing, expected);
        assert!(!second.replay, "a replay is the proxy's");
        let sent = theirs(&bytes[span.start..span.end]);
        assert_eq!(theirs(&out), sent, "what is not the proxy's stays");
    }
}

/// The fields of a head that mean nothing to the proxy, in order, as a plain reader finds them: those whose
/// names begin with `x-`, but for the ones it sets and those that are about the connection only.
fn theirs(head: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    let all: Vec<_> = lines.filter_map(field).collect();
    let hop: Vec<u8> = all
        .iter()
        .filter(|(name, _)| name == b"connection")
        .flat_map(|(_, value)| [&value.to_ascii_lowercase()[..], b","].concat())
        .collect();
    let hop: Vec<_> = hop
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .collect();
    let passes = |name: &[u8]| {
        let plain = name.iter().all(|byte| *byte != b'_');
        name.starts_with(b"x-")
            && plain
            && !name.starts_with(b"x-forwarded-")
            && !hop.contains(&name)
    };
    all.into_iter().filter(|(name, _)| passes(name)).collect()
}

/// Name in lower case and value of a line.
fn field(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let at = line.iter().position(|byte| *byte == b':')?;
    Some((
        line[..at].to_ascii_lowercase(),
        line[at + 1..].trim_ascii().to_vec(),
    ))
}

/// Chunks mean the same however they are cut, and written again they mean it once more.
pub(crate) fn chunks(bytes: &[u8]) {
    let mut data = Vec::new();
    let mut whole = ChunkedScanner::default();
    let at_once = whole.scan(bytes, Some(&mut data));
    for step in [1, 7] {
        let (mut part_data, mut consumed) = (Vec::new(), 0);
        let mut scanner = ChunkedScanner::default();
        let mut verdict = Ok(false);
        for piece in bytes.chunks(step) {
            match scanner.scan(piece, Some(&mut part_data)) {
                Ok(progress) => {
                    consumed += progress.consumed;
                    verdict = Ok(progress.done);
                    if progress.done {
                        break;
                    }
                }
                Err(error) => {
                    verdict = Err(error);
                    break;
                }
            }
        }
        assert_eq!(verdict, at_once.map(|progress| progress.done));
        if let Ok(progress) = at_once {
            assert_eq!((consumed, &part_data), (progress.consumed, &data));
        }
    }
    let Ok(progress) = at_once else { return };
    assert!(progress.consumed <= bytes.len() && progress.forward <= progress.consumed);
    assert!(data.len() <= bytes.len());
    if progress.done {
        assert_eq!(plainly(bytes), Some((data.clone(), progress.consumed)));
        rewritten(whole.trailers(), &data);
    }
}

/// Data and length of a body in chunks, by RFC 9112, 7.1, from all of it at once.
fn plainly(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut data, mut rest) = (Vec::new(), bytes);
    loop {
        let line = line(&mut rest)?;
        let digits = line.split(|byte| *byte == b';').next()?;
        match usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()? {
            0 => break,
            size => data.extend_from_slice(rest.split_off(..size)?),
        }
        line_end(&mut rest)?;
    }
    while !line(&mut rest)?.is_empty() {}
    Some((data, bytes.len() - rest.len()))
}

/// Takes a line, and gives it without its end.
fn line<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    let line = rest.split_off(..end)?;
    line_end(rest)?;
    Some(line)
}

fn line_end(rest: &mut &[u8]) -> Option<()> {
    (rest.split_off(..2)? == b"\r\n").then_some(())
}

fn rewritten(trailers: &[u8], data: &[u8]) {
    let mut wire = Vec::new();
    write_chunk(data, &mut wire);
    wire.extend_from_slice(b"0\r\n");
    if write_trailers(trailers, &mut wire).is_err() {
        return;
    }
    let mut again = Vec::new();
    let progress = ChunkedScanner::default().scan(&wire, Some(&mut again));
    let progress = progress.unwrap();
    assert!(progress.done);
    assert_eq!((progress.consumed, again), (wire.len(), data.to_vec()));
}

/// The head's place, which is the same when the bytes come one by one, and within its bound.
fn scan<E: std::fmt::Debug + PartialEq>(
    bytes: &[u8],
    mut one: impl FnMut(&mut HeadScanner, &[u8]) -> Result<Option<HeadSpan>, E>,
) -> Option<HeadSpan> {
    let whole = one(&mut HeadScanner::default(), bytes);
    let mut scanner = HeadScanner::default();
    let cuts = (0..bytes.len()).step_by(bytes.len() / 64 + 1);
    let early = cuts.map(|cut| one(&mut scanner, &bytes[..cut]));
    let pieces = early
        .into_iter()
        .find(|found| !matches!(found, Ok(None)))
        .unwrap_or_else(|| Ok(None));
    match pieces {
        Ok(None) => {}
        early => assert_eq!(early, whole, "in pieces"),
    }
    let span = whole.ok()??;
    assert!(span.start <= span.end && span.end <= bytes.len());
    assert!(span.end - span.start <= MAX_HEAD, "bounded");
    Some(span)
}

fn forwarded() -> ForwardedFields {
    let ip = IpAddr::from([10, 0, 0, 1]);
    ForwardedFields::new(Origin {
        client: ip,
        called: ip,
        port: 80,
        region: "r",
        tls: true,
    })
}

/// The names of a head's fields in lower case.
fn names(head: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(head);
    let lines = text.split("\r\n").skip(1);
    lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect()
}

fn count(names: &[String], name: &str) -> usize {
    names.iter().filter(|one| *one == name).count()
}
