//! What goes into a routing decision and what comes out.

use std::sync::Arc;

use roost_wire::{Machine, Name, TransportPort};

use crate::Micros;
use crate::balance::Ask;
use crate::limits::{Limits, MAX_FALSE_STARTS};
use crate::wish::Wish;

/// Names one who waits; never used twice within an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WaiterId(pub u64);

/// Names one reserved unit of load, to be released once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotKey {
    pub(crate) epoch: u64,
    pub(crate) inner: TransportPort,
    /// The holder is the first to send something to a UDP port; others wait for what becomes of it.
    pub(crate) scout: bool,
}

/// A reserved unit of load.
#[derive(Debug, Clone)]
pub struct Grant {
    /// What to release.
    pub key: SlotKey,
    /// The Machine to connect to.
    pub machine: Arc<Machine>,
    /// The port to connect to.
    pub internal_port: u16,
    /// When the Machine came up, or was heard of.
    pub up_since: Micros,
    /// The port is known to take calls. False only with UDP, where nobody tells.
    pub proven: bool,
    /// Only one external port leads there: whoever else waits for the service waits for the same.
    pub one_port: bool,
    /// The call tries a Machine that was left alone: [`crate::AppState::answered`] is to be called as soon
    /// as it answers.
    pub trial: bool,
}

impl Grant {
    /// The service it counts for, by the Machine's port.
    pub fn inner(&self) -> TransportPort {
        self.key.inner
    }
}

/// What became of a call that had a unit of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    /// Nothing was learned, or the Machine refused the connection (see [`crate::AppState::refused`]).
    #[default]
    Unknown,
    /// The Machine answered.
    Answered,
    /// The Machine was not reached, or reset the call before it answered; with Fly's code.
    Broken(&'static str),
}

/// A call that wants a unit of load.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The external port.
    pub port: TransportPort,
    /// Machines not to take.
    pub exclude: &'a [Name],
    /// Which of them it would have; `None` means any.
    pub wish: Option<&'a Wish>,
    /// Bytes held for the caller while it waits.
    pub held_bytes: usize,
}

impl<'a> Request<'a> {
    pub(crate) fn ask(&self) -> Ask<'a> {
        Ask {
            port: self.port,
            exclude: self.exclude,
            wish: self.wish,
        }
    }
}

/// When a transition happens, with chance and bounds.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The time.
    pub now: Micros,
    /// Any number; ties are broken by it.
    pub random: u64,
    /// The bounds in force.
    pub limits: &'a Limits,
}

/// Answer to [`crate::AppState::acquire`].
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Go on with this unit.
    Use(Grant),
    /// Wait for an [`Effect::Grant`] or [`Effect::Fail`]; after `deadline` call [`crate::AppState::timed_out`].
    Wait {
        /// Who waits.
        waiter: WaiterId,
        /// Until when.
        deadline: Micros,
    },
    /// There is no way.
    Refuse(Refusal),
}

/// Something the shell has to do.
#[derive(Debug, Clone)]
pub enum Effect {
    /// A waiter got a unit.
    Grant(WaiterId, Grant),
    /// A waiter's wait is over.
    Fail(WaiterId, Refusal),
    /// Ask the agent to start a Machine.
    Wake(Arc<Machine>),
    /// Try a port until it accepts, then call [`crate::AppState::ready`].
    Probe(Probe),
    /// Ask the proxy that has taken over for a unit.
    Ask(Plea),
    /// Run a Machine's health checks from now on; the same again changes what is known of it.
    Watch(Watch),
    /// Run them no more.
    Unwatch(Name),
    /// Somebody waits: run its service checks that have not passed yet at once.
    Hurry(Name, Life),
    /// A Machine does not answer and gets no calls for a while.
    Ejected {
        /// The Machine.
        machine: Name,
        /// Fly's code of the last call that broke.
        code: &'static str,
        /// For how long.
        pause: Micros,
    },
    /// A Machine that got no calls answers again.
    Restored(Name),
}

/// A Machine whose health checks are to be run.
#[derive(Debug, Clone)]
pub struct Watch {
    /// The Machine.
    pub machine: Arc<Machine>,
    /// Which of its lives this is.
    pub life: Life,
    /// It was running before it was heard of, so that its grace period is over, most likely.
    pub known: bool,
}

/// One time that a Machine is up; never the same twice within an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Life {
    pub(crate) epoch: u64,
    pub(crate) number: u64,
}

/// One run of a health check.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The Machine's life it belongs to.
    pub life: Life,
    /// Name of the check.
    pub check: &'a str,
    /// Whether it passed.
    pub passed: bool,
    /// It ended within the grace period.
    pub early: bool,
}

/// When a health check is to be run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunWish {
    /// Soon: somebody waits for its first pass.
    Eager,
    /// After its interval.
    Usual,
    /// Never: that life is over.
    Stop,
}

/// One who waits for a unit that another proxy has to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plea {
    /// Who waits.
    pub waiter: WaiterId,
    /// The external port.
    pub port: TransportPort,
    /// Machines not to take.
    pub exclude: Vec<Name>,
    /// Which of them it would have.
    pub wish: Option<Box<Wish>>,
}

/// A port to be tried.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The Machine.
    pub machine: Arc<Machine>,
    /// Its generation in this table.
    pub epoch: u64,
    /// The port to be tried.
    pub internal_port: u16,
    /// When the Machine came up.
    pub up_since: Micros,
}

/// Whether a probe is still wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeWish {
    /// Somebody waits.
    Eager,
    /// Nobody waits.
    Lazy,
    /// It has become pointless.
    Stop,
}

/// Why a call got nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No Machine of the app offers the port.
    #[error("no machine serves port {0}")]
    NotServed(TransportPort),
    /// The one Machine that was asked for is none of the app's, or does not serve the port.
    #[error("the app has no machine {machine} that serves port {port}")]
    NoSuchMachine {
        /// The Machine.
        machine: Name,
        /// The external port.
        port: TransportPort,
    },
    /// No Machine that serves the port is in a region that was asked for.
    #[error("no machine that serves port {port} is in the region {regions}")]
    NotInRegion {
        /// The regions, separated by commas.
        regions: String,
        /// The external port.
        port: TransportPort,
    },
    /// Every Machine that offers it is asleep or cordoned and may not be woken.
    #[error("no machine is running and none may be started ({0})")]
    NotStartable(String),
    /// Every Machine that could be used was tried.
    #[error("every machine that could take the call was tried")]
    Exhausted,
    /// Too many wait already.
    #[error("too many calls are waiting for a machine of this app")]
    QueueFull,
    /// Nobody freed a place in time.
    #[error("every machine stayed at its hard limit for {0} ms")]
    QueueTimeout(u64),
    /// No Machine passed its health checks in time.
    #[error("no machine passes its health checks ({failing}; waited {waited_ms} ms)")]
    Unhealthy {
        /// Machines and their checks.
        failing: String,
        /// How long.
        waited_ms: u64,
    },
    /// The wake did not come true in time.
    #[error("machine {machine} was not started within {waited_ms} ms")]
    WakeTimeout {
        /// The Machine.
        machine: Name,
        /// How long.
        waited_ms: u64,
    },
    /// The Machine runs but its port does not accept.
    #[error(
        "gave up waiting for machine {machine} to listen on 0.0.0.0:{internal_port} (waited {waited_ms} ms)"
    )]
    NotListening {
        /// The Machine.
        machine: Name,
        /// The port that was tried.
        internal_port: u16,
        /// How long.
        waited_ms: u64,
    },
    /// The Machine's program ended again and again before its port accepted.
    #[error("machine {0} stopped {MAX_FALSE_STARTS} times before its port accepted")]
    FalseStarts(Name),
    /// The agent said that the wake failed.
    #[error("{message}")]
    WakeFailed {
        /// Its code.
        code: Name,
        /// Its sentence.
        message: Name,
    },
    /// The proxy that has taken over said so.
    #[error("{message}")]
    Relayed {
        /// Its code for a raw connection.
        code: Name,
        /// Its code for a request.
        http_code: Name,
        /// Its sentence.
        message: Name,
    },
}

impl Refusal {
    /// Fly's error code; `http` says which of the codes for "nobody" fits.
    pub fn code(&self, http: bool) -> &str {
        match self {
            Self::NoSuchMachine { .. } => "PR02",
            Self::NotInRegion { .. } => "PR04",
            Self::Exhausted if http => "PR03",
            Self::NotServed(_) | Self::QueueFull | Self::QueueTimeout(_) if http => "PR04",
            Self::NotServed(_)
            | Self::QueueFull
            | Self::QueueTimeout(_)
            | Self::Exhausted
            | Self::Unhealthy { .. } => "PR01",
            Self::NotStartable(_) => "PM08",
            Self::WakeTimeout { .. } => "PM03",
            Self::NotListening { .. } => "PM05",
            Self::FalseStarts(_) => "PM07",
            Self::Relayed { http_code, .. } if http => http_code,
            Self::WakeFailed { code, .. } | Self::Relayed { code, .. } => code,
        }
    }
}
