//! The header a caller has to begin with where a port asks for it.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use roost_proxy_proto::{Ends, Header, Origin, Tlv, Tlvs, Transport, kind, parse};
use roost_wire::Level;
use tokio::net::TcpStream;

use crate::applog::{NO_HEADER, Text};
use crate::buffer::Buffer;
use crate::greeting::{self, Unsaid};
use crate::route::Target;
use crate::worker::Worker;

/// What a caller's header said.
#[derive(Debug)]
pub(crate) struct Proxied {
    /// From where to where the connection was before; `None` when that is not known, or was no TCP.
    pub(crate) ends: Option<Ends>,
    tlvs: Box<[u8]>,
}

impl Proxied {
    fn new(header: &Header<'_>) -> Self {
        let ends = match header.origin {
            Origin::Inet {
                transport: Transport::Stream,
                ends,
            } => Some(ends),
            Origin::Inet { .. } | Origin::Unix { .. } | Origin::Local | Origin::Unknown => None,
        };
        let tlvs = header.tlvs.bytes().into();
        Self { ends, tlvs }
    }

    /// What else it said, to be passed on.
    pub(crate) fn tlvs(&self) -> impl Iterator<Item = Tlv<'_>> {
        let all = Tlvs::again(&self.tlvs).iter();
        all.filter(|one| one.kind != kind::NOOP)
    }

    /// Whether it had a checksum over all of it.
    pub(crate) fn is_summed(&self) -> bool {
        self.tlvs().any(|one| one.kind == kind::CRC32C)
    }
}

/// Reads the header, believes it, and gives what came behind it. `None` when there was none that counts:
/// the app's log says so.
pub(crate) async fn read(
    worker: &Rc<Worker>,
    stream: &mut TcpStream,
    target: &mut Target,
) -> Option<Buffer> {
    let mut read = Buffer::default();
    let patience = Duration::from_millis(worker.config().settings.head_timeout_ms);
    let heard = {
        let ends_at_once = || worker.ends_at_once(target);
        let (member, look) = (&target.group, take_header);
        let hearing = greeting::hear(stream, &mut read, patience, member, ends_at_once, look);
        target.group.unless_over(pin!(hearing)).await
    };
    let reason = match heard {
        Some(Ok(Ok((proxied, size)))) => {
            read.consume(size);
            target.client = proxied.ends.map_or(target.client, |ends| ends.source);
            target.proxied = Some(Box::new(proxied));
            return Some(read);
        }
        Some(Ok(Err(reason))) => reason,
        Some(Err(Unsaid::Late)) => "it was not there in time",
        Some(Err(Unsaid::Gone)) if !read.is_empty() => "it was cut short",
        Some(Err(Unsaid::Gone)) | None => return None,
    };
    let (client, port) = (target.client.ip(), target.port);
    let text = || {
        Text::from(format!(
            "no PROXY header from {client} on port {port}: {reason}"
        ))
    };
    let (shared, app) = (&worker.shared, &target.app.name);
    shared.log_with(Level::Warn, app, None, Some(NO_HEADER), text);
    None
}

/// The header and its size, or why it does not count; `None` while it is not all there.
fn take_header(bytes: &[u8]) -> Option<Result<(Proxied, usize), &'static str>> {
    match parse(bytes) {
        Ok(None) => None,
        Ok(Some((header, size))) => Some(Ok((Proxied::new(&header), size))),
        Err(error) => Some(Err(error.0)),
    }
}
