//! What is wrong with an app's words.

/// An instruction that cannot be followed; the text names the field (Fly's code for it is `PA03`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// `field` is wrong in this way.
    pub(crate) fn field(field: &str, what: &str) -> Self {
        Self(format!("`{field}` {what}"))
    }
}
