//! Signed lines of one worker, used again for a few seconds: signing costs as much as a request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use roost_core::Table;
use roost_wire::{Machine, Name};

use super::key::Signer;
use crate::shared::Shared;

/// How old a line may be when a request is sent to a Machine, in seconds.
const MAX_AGE: u64 = 5;
/// Lines kept at once.
const MAX_LINES: usize = 4096;

/// The header lines about one caller for one called app.
#[derive(Debug)]
pub(crate) struct Line {
    /// Unix seconds.
    ts: u64,
    /// Whole lines with their ends.
    pub(crate) fields: Vec<u8>,
    /// The version of the settings that the key came with.
    version: u64,
}

/// The lines of one worker.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    kept: RefCell<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    version: u64,
    signer: Option<Arc<Signer>>,
    /// By caller's Machine and called app.
    lines: HashMap<(Name, Name), Rc<Line>>,
}

impl Lines {
    /// Makes `held` the line for a request of `caller` to the app `to` that is sent now. One that is still
    /// good stays; there is none while there is no key.
    pub(crate) fn renew(
        &self,
        shared: &Shared,
        caller: &Machine,
        to: &Name,
        held: &mut Option<Rc<Line>>,
    ) {
        let mut kept = self.kept.borrow_mut();
        kept.follow(shared);
        if kept.signer.is_none() {
            *held = None;
            return;
        }
        let (now, version) = (unix_seconds(), kept.version);
        if !held.as_ref().is_some_and(|line| line.is_good(now, version)) {
            *held = kept.line(shared, caller, to, now);
        }
    }
}

impl Kept {
    /// Takes over another key.
    fn follow(&mut self, shared: &Shared) {
        let version = shared.config_version();
        if self.version != version {
            self.version = version;
            self.signer.clone_from(&shared.config().signer);
            self.lines.clear();
        }
    }

    /// A line that is kept, else a new one.
    fn line(&mut self, shared: &Shared, caller: &Machine, to: &Name, now: u64) -> Option<Rc<Line>> {
        let key = (caller.id.clone(), to.clone());
        let known = self.lines.get(&key);
        if let Some(line) = known.filter(|line| line.is_good(now, self.version)) {
            return Some(line.clone());
        }
        let signer = self.signer.as_deref()?;
        let line = Rc::new(Line {
            ts: now,
            fields: fields(&shared.table(), signer, caller, to, now)?,
            version: self.version,
        });
        self.keep(key, line.clone(), now);
        Some(line)
    }

    fn keep(&mut self, key: (Name, Name), line: Rc<Line>, now: u64) {
        if self.lines.len() >= MAX_LINES {
            let version = self.version;
            self.lines.retain(|_, line| line.is_good(now, version));
        }
        // All are in use: making some anew costs less than finding out which are used least.
        if self.lines.len() >= MAX_LINES {
            self.lines.clear();
        }
        self.lines.insert(key, line);
    }
}

impl Line {
    fn is_good(&self, now: u64, version: u64) -> bool {
        // A clock that was set back makes it bad as well.
        let age = now.checked_sub(self.ts);
        self.version == version && age.is_some_and(|age| age < MAX_AGE)
    }
}

/// The lines; `None` when the caller's app or network is not known, or a name would break the value.
fn fields(
    table: &Table,
    signer: &Signer,
    caller: &Machine,
    to: &Name,
    now: u64,
) -> Option<Vec<u8>> {
    let org = &table.app(&caller.app)?.org;
    let network = &table.network(&caller.network)?.name;
    let words = [&caller.id, &caller.app, org, network, to];
    if !words.into_iter().all(|word| is_word(word)) {
        return None;
    }
    let value = format!(
        "instance={};app={};org={org};network={network};dst={to};ts={now}",
        caller.id, caller.app
    );
    let signature = signer.sign(&value);
    Some(format!("Fly-Src: {value}\r\nFly-Src-Signature: {signature}\r\n").into_bytes())
}

fn is_word(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b';' | b'='))
}

fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ts: u64) -> Rc<Line> {
        Rc::new(Line {
            ts,
            fields: Vec::new(),
            version: 0,
        })
    }

    fn key(number: usize) -> (Name, Name) {
        (number.to_string().into(), Name::from("a"))
    }

    /// A line is good for less than five seconds, under the key it was made with, and never before its time.
    #[test]
    fn lines_age() {
        let good = |now, version| line(100).is_good(now, version);
        assert!(good(100, 0) && good(104, 0));
        assert!(!good(105, 0) && !good(99, 0) && !good(100, 1));
    }

    /// However many callers there are, the lines are bounded, and those still good are kept while others
    /// can make room.
    #[test]
    fn lines_are_bounded() {
        let mut kept = Kept::default();
        for number in 0..MAX_LINES {
            kept.keep(key(number), line(100), 100);
        }
        kept.keep(key(MAX_LINES), line(105), 105);
        assert_eq!(kept.lines.len(), 1);
        for number in 0..MAX_LINES * 3 {
            kept.keep(key(number), line(106), 106);
            assert!(kept.lines.len() <= MAX_LINES);
        }
    }

    /// Names that would read as something else in the value are not put into it.
    #[test]
    fn names_are_words() {
        assert!(is_word("my-app_1.x"));
        for name in ["a;app=b", "a=b", "a b", "a\r\nX: y", "\u{e4}"] {
            assert!(!is_word(name), "{name:?}");
        }
    }
}
