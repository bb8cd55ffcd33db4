//! What the proxy answers itself.

use std::borrow::Cow;

use roost_http1::{Reply, RequestFacts, RequestFraming, Version};

use super::session::Session;
use super::stamp::SERVER;

/// A response that comes from no Machine.
#[derive(Debug, Clone)]
pub(super) struct Refusal<'a> {
    pub(super) status: u16,
    /// Fly's error code.
    pub(super) code: Option<Cow<'a, str>>,
    pub(super) message: Cow<'a, str>,
    pub(super) location: Option<&'a [u8]>,
}

impl<'a> Refusal<'a> {
    /// A refusal that is the client's matter: it has no code and is not logged.
    pub(super) fn plain(status: u16, message: &str) -> Self {
        Self {
            status,
            code: None,
            message: message.to_owned().into(),
            location: None,
        }
    }

    /// A refusal that is the app's matter.
    pub(super) fn coded(
        status: u16,
        code: impl Into<Cow<'a, str>>,
        message: impl Into<Cow<'a, str>>,
    ) -> Self {
        Self {
            status,
            code: Some(code.into()),
            message: message.into(),
            location: None,
        }
    }
}

/// Nothing of the request follows its head.
pub(super) const fn has_no_body(facts: RequestFacts) -> bool {
    matches!(
        facts.framing,
        RequestFraming::None | RequestFraming::Length(0)
    )
}

impl Session<'_> {
    /// Puts the response to a request into the output, which must hold nothing else.
    pub(super) fn say(&mut self, refusal: &Refusal<'_>, facts: RequestFacts, close: bool) {
        self.stamp.renew();
        let code = refusal.code.as_deref();
        let separator = if code.is_some() { " " } else { "" };
        let line = format!(
            "{}{separator}{} (request {})",
            code.unwrap_or_default(),
            refusal.message,
            self.stamp.id_text()
        );
        self.output.clear();
        let reply = Reply {
            status: refusal.status,
            code,
            location: refusal.location,
            line: line.into(),
            close,
            http10: facts.version == Version::Http10,
            server: SERVER,
            request_id: &self.stamp.id,
            date: &self.stamp.date,
        };
        reply.write(facts.method, &mut self.output);
    }

    /// Writes the line about a coded refusal into the app's log. After [`Self::say`].
    pub(super) fn log(&self, code: &str, message: &str, machine: Option<&str>) {
        let line = self
            .request
            .split(|byte| *byte == b'\r')
            .next()
            .unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let mut words = line.split(' ');
        let (method, path) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let host = self
            .request
            .split(|byte| *byte == b'\n')
            .nth(1)
            .unwrap_or_default();
        let host = String::from_utf8_lossy(host.get(6..).unwrap_or_default());
        let request = format!(
            "{} {method} http://{}{path}",
            self.stamp.id_text(),
            host.trim_end()
        );
        self.worker.shared.log(
            &self.target.app.name,
            machine,
            code,
            message,
            Some(&request),
        );
    }
}
