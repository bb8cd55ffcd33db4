//! Request ids and dates, one maker per thread.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use roost_http1::{DATE_LEN, HttpDate, REQUEST_ID_LEN, RequestIds};

/// The value of `Server`, in the form of Fly's proxy.
pub(super) const SERVER: &str = concat!("Fly/", env!("CARGO_PKG_VERSION"), " (2026-11-23)");

struct Makers {
    ids: RequestIds,
    date: HttpDate,
}

thread_local! {
    static MAKERS: RefCell<Makers> = RefCell::new(Makers {
        ids: RequestIds::new(RandomState::new().hash_one(0)),
        date: HttpDate::default(),
    });
}

/// What marks one response.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    /// `<ULID>-<region>`
    pub(super) id: Vec<u8>,
    /// Now, as an HTTP date.
    pub(super) date: [u8; DATE_LEN],
}

impl Stamp {
    /// A stamp that [`Self::renew`] fills.
    pub(super) fn new(region: &str) -> Self {
        let mut id = vec![b'0'; REQUEST_ID_LEN];
        id.push(b'-');
        id.extend(region.bytes().filter(u8::is_ascii_graphic));
        Self {
            id,
            date: [b' '; DATE_LEN],
        }
    }

    /// A new id and the present time.
    pub(super) fn renew(&mut self) {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        MAKERS.with_borrow_mut(|makers| {
            let ulid = makers.ids.next_id(millis);
            if let Some(place) = self.id.get_mut(..REQUEST_ID_LEN) {
                place.copy_from_slice(&ulid);
            }
            self.date = *makers.date.at(since.as_secs());
        });
    }

    /// The id as text.
    pub(super) fn id_text(&self) -> &str {
        std::str::from_utf8(&self.id).unwrap_or_default()
    }
}
