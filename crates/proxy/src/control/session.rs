//! One connection of the agent: lines in, lines out, both bounded.

use std::collections::HashSet;
use std::io;

use roost_wire::{
    DecodeError, DownLine, Kind, LineReader, Name, PROTOCOL, Role, Up, decode, encode,
};
use tokio::net::UnixStream;

/// Unsent bytes from which on nothing more is read.
const PAUSE_READING: usize = 4 << 20;
/// Unsent bytes from which on the agent is taken for dead.
const GIVE_UP: usize = 32 << 20;

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    stream: UnixStream,
    reader: LineReader,
    out: Vec<u8>,
    /// What the snapshot under way has put so far.
    pub(crate) snapshot: Option<HashSet<(Kind, Name)>>,
}

impl Session {
    /// A new connection; the greeting is on its way.
    pub(crate) fn new(stream: UnixStream, role: Role) -> Self {
        let (reader, out) = (LineReader::new(), Vec::new());
        let mut session = Self {
            stream,
            reader,
            out,
            snapshot: None,
        };
        let version = env!("CARGO_PKG_VERSION").into();
        session.send(&Up::Hello {
            protocol: PROTOCOL,
            version,
            pid: std::process::id(),
            role,
        });
        session
    }

    /// Puts a line on its way.
    pub(crate) fn send(&mut self, line: &Up) {
        if let Err(error) = encode(line, &mut self.out) {
            tracing::error!(%error, "a line could not be written");
        }
    }

    /// The next message that has arrived already.
    pub(crate) fn next(&mut self) -> Option<Result<DownLine, DecodeError>> {
        loop {
            match self.reader.next_line()? {
                Ok(line) if line.iter().all(u8::is_ascii_whitespace) => {}
                Ok(line) => return Some(decode(line)),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Writes all that is unsent.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            self.stream.writable().await?;
            flush(&self.stream, &mut self.out)?;
        }
        Ok(())
    }

    /// Writes what is unsent and reads what arrives. Returns after any progress; an error means the
    /// end of the connection. May be dropped at any point.
    pub(crate) async fn exchange(&mut self) -> io::Result<()> {
        if self.out.len() > GIVE_UP {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the agent does not read",
            ));
        }
        let read = self.out.len() < PAUSE_READING;
        tokio::select! {
            ready = self.stream.writable(), if !self.out.is_empty() => {
                ready?;
                flush(&self.stream, &mut self.out)
            }
            ready = self.stream.readable(), if read => {
                ready?;
                receive(&self.stream, &mut self.reader)
            }
        }
    }
}

fn flush(stream: &UnixStream, out: &mut Vec<u8>) -> io::Result<()> {
    match stream.try_write(out) {
        Ok(written) => {
            out.drain(..written);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

fn receive(stream: &UnixStream, reader: &mut LineReader) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    match stream.try_read(&mut buffer) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(read) => {
            reader.push(buffer.get(..read).unwrap_or_default());
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}
