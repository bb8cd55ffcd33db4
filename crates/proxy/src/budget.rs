//! How many connections and pipes fit into the process's limit of open files, and with streams into memory.

/// Descriptors kept for everything that is neither a relayed connection nor its pipe.
const RESERVED: u64 = 1024;
/// A connection that is relayed takes two, the client's and the Machine's; a pipe has two ends.
const EACH: u64 = 2;
/// The part of the rest that is for pipes.
const PIPES: u64 = 8;
/// More pipes than this at once are no gain: they hold memory.
const MOST_PIPES: u64 = 4096;
/// What a stream of HTTP/2 takes at most: windows, what is read ahead, and heads, in both directions.
const STREAM: u64 = 512 * 1024;
/// What a connection takes that does nothing (`make bench` measures it), with what the kernel keeps of it.
const CONNECTION: u64 = 24 * 1024;
/// The part of memory that is for streams, and the part that is for connections.
const PART: u64 = 4;
/// What a large head of a request takes as it was read and as it is sent, and the part of memory for these.
const HEAD: u64 = 128 * 1024;
const HEADS: u64 = 16;
/// With very little memory at least these are tried.
const LEAST_HEADS: usize = 16;
/// With very little memory at least these streams are tried.
const LEAST_STREAMS: usize = 128;
/// With a very small limit at least these connections are tried.
const LEAST_CONNECTIONS: usize = 16;

/// Bounds that fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Client connections.
    pub(crate) connections: usize,
    /// Pipes for bulk.
    pub(crate) pipes: usize,
    /// Streams of HTTP/2 beside others of their connection.
    pub(crate) streams: usize,
    /// Large heads of requests.
    pub(crate) heads: usize,
}

impl Budget {
    /// What a limit of `files` and `memory` bytes allow.
    pub(crate) fn of(files: u64, memory: u64) -> Self {
        let room = files.saturating_sub(RESERVED);
        let pipes = (room / PIPES / EACH).min(MOST_PIPES);
        let connections = ((room - pipes * EACH) / EACH).min(memory / PART / CONNECTION);
        let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            connections: count(connections).max(LEAST_CONNECTIONS),
            pipes: count(pipes),
            streams: count(memory / PART / STREAM).max(LEAST_STREAMS),
            heads: count(memory / HEADS / HEAD).max(LEAST_HEADS),
        }
    }

    /// How many of the connections may be flows of datagrams: these cost a caller nothing to begin.
    pub(crate) const fn flows(connections: usize) -> usize {
        connections / 2
    }

    /// How many of the connections, or of the streams, one source may have when nobody says so.
    pub(crate) const fn of_a_source(connections: usize) -> usize {
        connections / 2
    }

    /// How many of the connections, or of the streams, callers from outside may have.
    pub(crate) const fn from_outside(connections: usize) -> usize {
        connections / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections and pipes together never take more than there is.
    #[test]
    fn fits_into_the_limit() {
        for files in [1100, 1600, 4096, 65_536, 1 << 20, 1 << 30] {
            let Budget {
                connections, pipes, ..
            } = Budget::of(files, u64::MAX);
            assert!(((connections + pipes) as u64) * EACH + RESERVED <= files);
            assert!(connections >= pipes * 7 && pipes > 0, "{files}");
        }
        let least = Budget::of(0, 0);
        assert_eq!((least.connections, least.pipes), (LEAST_CONNECTIONS, 0));
        assert_eq!(least.streams, LEAST_STREAMS);
        let eight = Budget::of(1 << 20, 8 << 30);
        assert_eq!((eight.streams, eight.connections), (4096, 87_381));
        assert_eq!((eight.heads, least.heads), (4096, LEAST_HEADS));
    }
}
