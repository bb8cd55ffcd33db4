//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::thread::available_parallelism;

use roost_wire::Role;

const USAGE: &str = "usage: roost-proxy --control PATH [--threads N] [--standby]";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Path of the control socket.
    pub(crate) control: PathBuf,
    /// Worker threads.
    pub(crate) threads: usize,
    /// Accept nothing until the agent says `take_over`.
    pub(crate) standby: bool,
}

impl Arguments {
    /// What the process does first.
    pub(crate) fn role(&self) -> Role {
        if self.standby {
            Role::Standby
        } else {
            Role::Serving
        }
    }

    /// Reads the arguments after the program's name; the error is a sentence for the user.
    pub(crate) fn parse(mut rest: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut control = None;
        let mut threads = None;
        let mut standby = false;
        while let Some(word) = rest.next() {
            let mut value = || {
                rest.next()
                    .ok_or(format!("{} needs a value; {USAGE}", word.display()))
            };
            match word.to_str() {
                Some("--control") => control = Some(PathBuf::from(value()?)),
                Some("--standby") => standby = true,
                Some("--threads") => threads = Some(count(&value()?)?),
                _ => return Err(format!("unknown argument {}; {USAGE}", word.display())),
            }
        }
        let cores = || available_parallelism().map_or(1, usize::from);
        Ok(Self {
            control: control.ok_or(USAGE)?,
            threads: threads.unwrap_or_else(cores),
            standby,
        })
    }
}

fn count(word: &OsString) -> Result<usize, String> {
    let number = word.to_str().and_then(|word| word.parse().ok());
    number
        .filter(|count| (1..=1024).contains(count))
        .ok_or(format!("--threads is a count; {USAGE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, String> {
        Arguments::parse(words.iter().map(OsString::from))
    }

    /// All options are read; a missing path, a bad count and an unknown word are refused.
    #[test]
    fn reads_the_command_line() {
        let threads = 3;
        let wanted = Arguments {
            control: "/tmp/x".into(),
            threads,
            standby: true,
        };
        assert_eq!(
            parse(&["--control", "/tmp/x", "--threads", "3", "--standby"]),
            Ok(wanted)
        );
        for bad in [
            &[][..],
            &["--control"],
            &["--control", "x", "--threads", "0"],
            &["--what"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
