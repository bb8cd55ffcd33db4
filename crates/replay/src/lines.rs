//! What Machines are told about replays, as complete lines of a request head.

use std::fmt::Write as _;

/// Where a replay comes from: `fly-replay-src`.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The Machine that asked for the replay.
    pub instance: &'a str,
    /// Its region.
    pub region: &'a str,
    /// Microseconds since the epoch.
    pub time: u128,
    /// What it gave along.
    pub state: Option<&'a str>,
}

/// Why a replay came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its time was over.
    Timeout,
    /// Machines were tried and not reached.
    RetriesExhausted,
    /// There was no Machine to try.
    NoCandidate,
}

/// A replay that came to nothing: `fly-replay-failed`.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// The Machine it was for.
    pub instance: Option<&'a str>,
    /// The app it was for.
    pub app: &'a str,
    /// The region it was for.
    pub region: Option<&'a str>,
    /// The Machine that asked for it.
    pub source: &'a str,
    /// Why.
    pub reason: Reason,
    /// How long it was tried.
    pub elapsed_ms: u128,
}

impl Source<'_> {
    /// Appends the line.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut line = format!(
            "fly-replay-src: instance={};region={};t={}",
            self.instance, self.region, self.time
        );
        if let Some(state) = self.state {
            let _ = write!(line, ";state={state}");
        }
        finish(&line, out);
    }
}

impl Failure<'_> {
    /// Appends the line.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut line = "fly-replay-failed: ".to_owned();
        if let Some(instance) = self.instance {
            let _ = write!(line, "instance={instance};");
        }
        let _ = write!(line, "app={};", self.app);
        if let Some(region) = self.region {
            let _ = write!(line, "region={region};");
        }
        let reason = match self.reason {
            Reason::Timeout => "timeout",
            Reason::RetriesExhausted => "retries_exhausted",
            Reason::NoCandidate => "no_candidate",
        };
        let (source, elapsed) = (self.source, self.elapsed_ms);
        let _ = write!(
            line,
            "replay_source={source};reason={reason};elapsed_ms={elapsed}"
        );
        finish(&line, out);
    }
}

/// Appends `fly-preferred-instance-unavailable` for a Machine that did not get the request.
pub fn preferred_unavailable(instance: &str, out: &mut Vec<u8>) {
    finish(
        &format!("fly-preferred-instance-unavailable: {instance}"),
        out,
    );
}

/// Appends `fly-replay-cache-status`.
pub fn cache_status(status: &str, out: &mut Vec<u8>) {
    finish(&format!("fly-replay-cache-status: {status}"), out);
}

/// Ends the line. A byte that could end it earlier does not get into it, wherever it came from.
fn finish(line: &str, out: &mut Vec<u8>) {
    out.extend(
        line.bytes()
            .filter(|byte| *byte == b' ' || byte.is_ascii_graphic()),
    );
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_as_documented() {
        let mut out = Vec::new();
        let source = Source {
            instance: "00bb",
            region: "iad",
            time: 1_700_000_000_000_000,
            state: Some("a b"),
        };
        source.write(&mut out);
        let failure = Failure {
            instance: Some("00bb"),
            app: "web",
            region: None,
            source: "11aa",
            reason: Reason::Timeout,
            elapsed_ms: 10_000,
        };
        failure.write(&mut out);
        preferred_unavailable("00bb\r\nX: y", &mut out);
        cache_status("miss", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "fly-replay-src: instance=00bb;region=iad;t=1700000000000000;state=a b\r\n\
             fly-replay-failed: instance=00bb;app=web;replay_source=11aa;reason=timeout;elapsed_ms=10000\r\n\
             fly-preferred-instance-unavailable: 00bbX: y\r\n\
             fly-replay-cache-status: miss\r\n"
        );
    }
}
