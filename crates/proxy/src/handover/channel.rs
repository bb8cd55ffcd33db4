//! Lines between two proxies, some of them with descriptors.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use roost_wire::{LineReader, MAX_DESCRIPTORS, encode};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::control::must_be_ours;

/// Unsent bytes from which on the other side is taken for dead.
const GIVE_UP: usize = 64 << 20;

/// One conversation with another proxy.
#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    reader: LineReader,
    descriptors: VecDeque<OwnedFd>,
    out: Vec<u8>,
}

impl Channel {
    /// A conversation with a process of the same user; nobody else may have one.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        must_be_ours(&stream)?;
        Ok(Self {
            stream,
            reader: LineReader::new(),
            descriptors: VecDeque::new(),
            out: Vec::new(),
        })
    }

    /// Puts a line on its way.
    pub(super) fn say(&mut self, line: &impl Serialize) -> io::Result<()> {
        encode(line, &mut self.out)?;
        if self.out.len() > GIVE_UP {
            let message = "the other proxy does not read";
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        Ok(())
    }

    /// Sends a line together with at most [`MAX_DESCRIPTORS`] descriptors, after all that is on its way.
    pub(super) async fn pass(
        &mut self,
        line: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        self.flush().await?;
        let mut bytes = Vec::new();
        encode(line, &mut bytes)?;
        let sent = self
            .stream
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
                    return Err(io::ErrorKind::ArgumentListTooLong.into());
                }
                let bytes = [IoSlice::new(&bytes)];
                Ok(sendmsg(
                    &self.stream,
                    &bytes,
                    &mut control,
                    SendFlags::NOSIGNAL,
                )?)
            })
            .await?;
        self.out.extend(bytes.drain(sent..));
        self.flush().await
    }

    /// Writes all that is on its way.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            self.stream.writable().await?;
            self.write()?;
        }
        Ok(())
    }

    /// Waits for the next line. May be dropped at any point.
    pub(super) async fn hear<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        loop {
            if let Some(line) = self.heard()? {
                return Ok(line);
            }
            self.turn().await?;
        }
    }

    /// The next line that has arrived already.
    pub(super) fn heard<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        match self.reader.next_line() {
            None => Ok(None),
            Some(Ok(line)) => Ok(Some(serde_json::from_slice(line)?)),
            Some(Err(error)) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    /// The first `count` descriptors that have arrived; fewer are an error.
    pub(super) fn descriptors(&mut self, count: usize) -> io::Result<Vec<OwnedFd>> {
        if count > self.descriptors.len() {
            let message = "fewer sockets came than were named: too many files are open";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(self.descriptors.drain(..count).collect())
    }

    /// Writes what is unsent and reads what arrives; returns after any progress. May be dropped at any
    /// point.
    pub(super) async fn turn(&mut self) -> io::Result<()> {
        tokio::select! {
            ready = self.stream.writable(), if !self.out.is_empty() => {
                ready?;
                self.write()
            }
            ready = self.stream.readable() => {
                ready?;
                self.read()
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        match self.stream.try_write(&self.out) {
            Ok(written) => {
                self.out.drain(..written);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 << 10];
        let descriptors = &mut self.descriptors;
        let received = self.stream.try_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut into = [IoSliceMut::new(&mut bytes)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let received = recvmsg(&self.stream, &mut into, &mut control, flags)?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(more) = message {
                    descriptors.extend(more);
                }
            }
            Ok(received.bytes)
        });
        match received {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.reader.push(bytes.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

const _: () = assert!(MAX_DESCRIPTORS == 253);
