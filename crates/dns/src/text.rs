//! Lists in TXT records: one logical string, cut into character-strings of at most 255 bytes.

use std::ops::ControlFlow;

use crate::reply::{CHARACTER_STRING, RECORD_HEAD};

/// A list that grows until the reply is full.
#[derive(Debug)]
pub(crate) struct TextList {
    entries: Vec<String>,
    bytes: usize,
    room: usize,
    full: bool,
}

/// A list as it goes into a record.
#[derive(Debug)]
pub(crate) struct Text {
    /// All entries; empty when there is nothing to list.
    pub(crate) bytes: Vec<u8>,
    /// Whether entries were left out for want of room.
    pub(crate) cut: bool,
}

// === impl TextList ===

impl TextList {
    /// An empty list for a reply with `room` bytes left for records.
    pub(crate) fn new(room: usize) -> Self {
        Self {
            entries: Vec::new(),
            bytes: 0,
            room: room.saturating_sub(RECORD_HEAD),
            full: false,
        }
    }

    /// Adds an entry; breaks when it does not fit, so that a walk over many Machines ends early.
    pub(crate) fn push(&mut self, entry: String) -> ControlFlow<()> {
        let bytes = self.bytes + usize::from(!self.entries.is_empty()) + entry.len();
        if bytes + bytes.div_ceil(CHARACTER_STRING) > self.room {
            self.full = true;
            return ControlFlow::Break(());
        }
        self.bytes = bytes;
        self.entries.push(entry);
        ControlFlow::Continue(())
    }

    /// The entries in order, joined by `separator`.
    pub(crate) fn join(mut self, separator: &str) -> Text {
        self.entries.sort_unstable();
        Text {
            bytes: self.entries.join(separator).into_bytes(),
            cut: self.full,
        }
    }
}
