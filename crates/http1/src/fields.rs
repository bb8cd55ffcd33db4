//! Room for the fields of one head, on the stack of the function that reads it.

use std::mem::MaybeUninit;

use httparse::Header;

use crate::connection::Connection;
use crate::name::Name;

/// The most fields a head may have.
pub const MAX_FIELDS: usize = 128;
/// Fields that the proxy may have added to a head which it reads again.
pub(crate) const ADDED_FIELDS: usize = 64;
/// Places for the fields of one head.
pub(crate) const SLOTS: usize = MAX_FIELDS + ADDED_FIELDS;

/// Where a parsed head keeps its fields. It borrows from the bytes that were read; nothing is copied.
pub struct FieldSlots<'b> {
    pub(crate) headers: [MaybeUninit<Header<'b>>; SLOTS],
    pub(crate) names: [Name; SLOTS],
}

impl FieldSlots<'_> {
    /// Empty slots.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self {
            headers: [const { MaybeUninit::uninit() }; SLOTS],
            names: [Name::Other; SLOTS],
        }
    }
}

/// The fields of a parsed head, each with what its name means to a proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'b, 'h> {
    headers: &'h [Header<'b>],
    names: &'h [Name],
}

impl<'b, 'h> Fields<'b, 'h> {
    /// Classifies `headers` into `names`.
    pub(crate) fn classify(headers: &'h [Header<'b>], names: &'h mut [Name; SLOTS]) -> Self {
        for (slot, header) in names.iter_mut().zip(headers) {
            *slot = Name::of(header.name.as_bytes());
        }
        Self { headers, names }
    }

    /// Each field's meaning, name as it was sent, and value without surrounding white space.
    pub(crate) fn iter(self) -> impl Iterator<Item = (Name, &'b str, &'b [u8])> {
        self.names
            .iter()
            .zip(self.headers)
            .map(|(name, header)| (*name, header.name, header.value))
    }

    /// The values of all fields that mean `wanted`.
    pub(crate) fn values(self, wanted: Name) -> impl Iterator<Item = &'b [u8]> {
        self.iter()
            .filter(move |(name, ..)| *name == wanted)
            .map(|(_, _, value)| value)
    }
}

/// Name and value of each field that means the same in every version of HTTP.
pub(crate) fn end_to_end<'b>(
    fields: Fields<'b, '_>,
    connection: Connection<'b>,
) -> impl Iterator<Item = (&'b str, &'b [u8])> {
    let passes = move |(name, sent, _): &(Name, &'b str, &'b [u8])| {
        let hop = matches!(
            name,
            Name::Connection | Name::HopByHop | Name::Te | Name::TransferEncoding | Name::Upgrade
        );
        !hop && !connection.lists(*name, sent)
    };
    let all = fields.iter().filter(passes);
    all.map(|(_, sent, value)| (sent, value))
}

/// Whether `name` can be the name of a field (RFC 9110, 5.6.2).
pub(crate) fn is_field_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

/// Whether `value` can be the value of a field: nothing in it ends the line.
pub(crate) fn is_field_value(value: &str) -> bool {
    let is_text = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    value.bytes().all(is_text)
}

/// Appends `name: value` as one line.
pub(crate) fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
