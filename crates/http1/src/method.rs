//! Request methods, as far as a proxy treats them differently.

/// The request's method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`: the response has no body, whatever its fields say.
    Head,
    /// `OPTIONS`, the only one that may ask for `*`.
    Options,
    /// `PUT`, `DELETE` or `TRACE`: may be sent again, as the ones above.
    Idempotent,
    /// All others, `POST` first. Sending one twice may do its work twice.
    Other,
}

impl Method {
    /// What a method is that was sent so.
    pub fn of(method: &str) -> Self {
        match method {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "PUT" | "DELETE" | "TRACE" => Self::Idempotent,
            _ => Self::Other,
        }
    }

    /// Whether the proxy may send the request a second time when it cannot know if the first one was
    /// acted on (RFC 9110, 9.2.2).
    pub const fn may_repeat(self) -> bool {
        !matches!(self, Self::Other)
    }
}
