//! `<app>.flycast`: the app's addresses on the caller's network, whatever its Machines do.

use hickory_proto::rr::RecordType;

use crate::view::NetworkView;
use crate::zone::Found;

/// What a name below `flycast.` holds.
///
/// An app that has no address on this network has no name here either, so that the names of
/// others' apps cannot be probed.
pub(crate) fn find(below: &[&[u8]], kind: RecordType, caller: &impl NetworkView) -> Found {
    let [app] = below else {
        return Found::Missing;
    };
    let Ok(app) = str::from_utf8(app) else {
        return Found::Missing;
    };
    let addresses: Vec<_> = caller.flycast(app).collect();
    match kind {
        _ if addresses.is_empty() => Found::Missing,
        RecordType::AAAA => Found::Addresses(addresses),
        _ => Found::Nothing,
    }
}
