//! Lines of the control protocol.

use roost_wire::{LineReader, MAX_LINE, decode, encode};

/// Lines are cut alike however they come, bounded, and one that is understood is written as it is read.
pub(crate) fn lines(bytes: &[u8]) {
    let whole = read(bytes, bytes.len().max(1));
    assert_eq!(read(bytes, 7), whole, "in pieces");
    for line in whole.into_iter().flatten() {
        assert!(line.len() <= MAX_LINE, "bounded");
        let Ok(message) = decode(&line) else { continue };
        let mut out = Vec::new();
        encode(&message, &mut out).unwrap();
        assert_eq!(decode(&out[..out.len() - 1]), Ok(message));
    }
}

fn read(bytes: &[u8], step: usize) -> Vec<Option<Vec<u8>>> {
    let mut reader = LineReader::new();
    let mut lines = Vec::new();
    for piece in bytes.chunks(step) {
        reader.push(piece);
        while let Some(line) = reader.next_line() {
            lines.push(line.ok().map(<[u8]>::to_vec));
        }
    }
    lines
}
