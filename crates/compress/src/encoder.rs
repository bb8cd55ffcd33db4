//! Encoders that give what they have whenever they are asked, so that nothing is held back.

use std::fmt;
use std::io::{self, Write};

use flate2::write::{GzEncoder, ZlibEncoder};

use crate::coding::Coding;

/// Levels at which a core still moves tens of megabytes a second.
const GZIP_LEVEL: u32 = 4;
const ZSTD_LEVEL: i32 = 3;
const BROTLI_QUALITY: u32 = 4;
/// 512 KiB: more is memory for each response.
const BROTLI_WINDOW: u32 = 19;
const ZSTD_WINDOW: u32 = 19;
const BROTLI_BUFFER: usize = 4096;

/// One body on its way through a coding.
pub struct Encoder(Kind);

enum Kind {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
}

impl Encoder {
    /// An encoder for one body. Takes up to about two megabytes until it is dropped.
    pub fn new(coding: Coding) -> io::Result<Self> {
        let level = flate2::Compression::new(GZIP_LEVEL);
        Ok(Self(match coding {
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(ZSTD_WINDOW)?;
                Kind::Zstd(encoder)
            }
            Coding::Brotli => Kind::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                BROTLI_BUFFER,
                BROTLI_QUALITY,
                BROTLI_WINDOW,
            ))),
            Coding::Gzip => Kind::Gzip(GzEncoder::new(Vec::new(), level)),
            Coding::Deflate => Kind::Deflate(ZlibEncoder::new(Vec::new(), level)),
        }))
    }

    /// Takes `input` in and appends to `out` what has become ready.
    pub fn write(&mut self, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.writer().write_all(input)?;
        out.append(self.ready());
        Ok(())
    }

    /// Appends all that is needed to read what was written so far.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.writer().flush()?;
        out.append(self.ready());
        Ok(())
    }

    /// Appends the end.
    pub fn finish(self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut rest = match self.0 {
            Kind::Zstd(encoder) => encoder.finish()?,
            Kind::Brotli(encoder) => encoder.into_inner(),
            Kind::Gzip(encoder) => encoder.finish()?,
            Kind::Deflate(encoder) => encoder.finish()?,
        };
        out.append(&mut rest);
        Ok(())
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.0 {
            Kind::Zstd(encoder) => encoder,
            Kind::Brotli(encoder) => encoder,
            Kind::Gzip(encoder) => encoder,
            Kind::Deflate(encoder) => encoder,
        }
    }

    fn ready(&mut self) -> &mut Vec<u8> {
        match &mut self.0 {
            Kind::Zstd(encoder) => encoder.get_mut(),
            Kind::Brotli(encoder) => encoder.get_mut(),
            Kind::Gzip(encoder) => encoder.get_mut(),
            Kind::Deflate(encoder) => encoder.get_mut(),
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Encoder")
    }
}
