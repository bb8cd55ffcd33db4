//! What comes out is what the coding's own decoder reads.

#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Read;

use proptest::prelude::*;
use roost_compress::{Coding, Encoder};

fn decode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        Coding::Zstd => plain = zstd::stream::decode_all(bytes).unwrap(),
        Coding::Brotli => {
            brotli::Decompressor::new(bytes, 4096)
                .read_to_end(&mut plain)
                .map(drop)
                .unwrap();
        }
        Coding::Gzip => {
            flate2::read::GzDecoder::new(bytes)
                .read_to_end(&mut plain)
                .map(drop)
                .unwrap();
        }
        Coding::Deflate => {
            flate2::read::ZlibDecoder::new(bytes)
                .read_to_end(&mut plain)
                .map(drop)
                .unwrap();
        }
    }
    plain
}

/// As much as can be decoded of a body whose end has not come.
fn decode_some(coding: Coding, bytes: &[u8], wanted: usize) -> Vec<u8> {
    let mut reader: Box<dyn Read + '_> = match coding {
        Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
        Coding::Brotli => Box::new(brotli::Decompressor::new(bytes, 4096)),
        Coding::Gzip => Box::new(flate2::read::GzDecoder::new(bytes)),
        Coding::Deflate => Box::new(flate2::read::ZlibDecoder::new(bytes)),
    };
    let mut plain = vec![0; wanted];
    reader.read_exact(&mut plain).unwrap();
    plain
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_pieces_come_back_whole(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..8),
        flushed in any::<u8>(),
    ) {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding).unwrap();
            let mut out = Vec::new();
            for (at, piece) in pieces.iter().enumerate() {
                encoder.write(piece, &mut out).unwrap();
                if flushed >> at & 1 == 1 {
                    encoder.flush(&mut out).unwrap();
                }
            }
            encoder.finish(&mut out).unwrap();
            prop_assert_eq!(decode(coding, &out), pieces.concat());
        }
    }
}

#[test]
fn a_flush_lets_everything_so_far_be_read() {
    for coding in Coding::ALL {
        let mut encoder = Encoder::new(coding).unwrap();
        let (mut out, mut plain) = (Vec::new(), Vec::new());
        for number in 0..20 {
            let line = format!("line {number} of a stream\n");
            plain.extend_from_slice(line.as_bytes());
            encoder.write(line.as_bytes(), &mut out).unwrap();
            encoder.flush(&mut out).unwrap();
            assert_eq!(decode_some(coding, &out, plain.len()), plain, "{coding:?}");
        }
    }
}

#[test]
fn text_gets_smaller() {
    let text = "all work and no play ".repeat(1000);
    for coding in Coding::ALL {
        let mut encoder = Encoder::new(coding).unwrap();
        let mut out = Vec::new();
        encoder.write(text.as_bytes(), &mut out).unwrap();
        encoder.finish(&mut out).unwrap();
        assert!(out.len() < text.len() / 20, "{coding:?}: {}", out.len());
    }
}
