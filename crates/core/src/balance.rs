//! Which Machine a call goes to, and which one to wake.
//!
//! Order (fly-semantics 6 and 7): local below the soft limit; start a local one; local below the hard
//! limit; remote below the hard limit; start a remote one. At a limit means over it. Among equals the
//! least loaded wins, then chance. At most one start is in flight per service and region.

use roost_wire::{MachineState, Name, Protocol, TransportPort};

use crate::Micros;
use crate::decision::Moment;
use crate::entry::{Entry, Readiness};
use crate::health::Health;
use crate::limits::DEFAULT_SOFT;
use crate::wish::{Step, Wish, steps};

/// What a call asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// The external port.
    pub(crate) port: TransportPort,
    /// Machines it will not have.
    pub(crate) exclude: &'a [Name],
    /// Those it would have.
    pub(crate) wish: Option<&'a Wish>,
}

impl Ask<'_> {
    /// Whether a Machine could ever serve it.
    pub(crate) fn may_have(&self, entry: &Entry) -> bool {
        let serves = entry.serving(self.port).is_some();
        serves && self.wish.is_none_or(|wish| wish.allows(&entry.machine))
    }
}

/// How one Machine stands to a call on one external port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Does not serve the port, or the call will not have it.
    Apart,
    /// Takes calls: below its soft limit or not. `unproven` where nobody can know before something is sent.
    Open {
        load: u32,
        below_soft: bool,
        unproven: bool,
    },
    /// At its hard limit.
    Full,
    /// Up, its port not known to accept. `probing` when somebody tries it.
    Coming { probing: bool },
    /// Its checks have not passed since it came up, and may still do so. `hurried` when they are being
    /// run for those who wait.
    Untried { hurried: bool },
    /// A check of it fails. `hurried` as above, or since it is run at its interval only.
    Failing { hurried: bool },
    /// Does not answer, so it is left alone while others take calls.
    Ejected { load: u32 },
    /// Asleep, a wake is in flight.
    Waking,
    /// Asleep, a wake may start it. `quick` when it only has to be thawed.
    Asleep { quick: bool },
    /// Asleep and not to be woken, or cordoned.
    Closed,
}

/// How `entry` stands to a call.
pub(crate) fn standing(entry: &Entry, ask: Ask<'_>, now: Micros) -> Standing {
    if ask.wish.is_some_and(|wish| !wish.allows(&entry.machine)) {
        return Standing::Apart;
    }
    standing_for(entry, ask.port, ask.exclude, now)
}

/// The same for one who has no wish.
pub(crate) fn standing_for(
    entry: &Entry,
    port: TransportPort,
    exclude: &[Name],
    now: Micros,
) -> Standing {
    let Some((offered, service)) = entry.serving(port) else {
        return Standing::Apart;
    };
    if exclude.contains(&entry.machine.id) {
        return Standing::Apart;
    }
    if entry.machine.cordoned {
        return Standing::Closed;
    }
    let state = entry.machine.state;
    if !state.is_up() || entry.draining {
        return match (
            entry.waking,
            offered.autostart && (entry.machine.startable || entry.draining),
        ) {
            (Some(_), _) => Standing::Waking,
            (None, true) => Standing::Asleep {
                quick: state == MachineState::Suspended,
            },
            (None, false) => Standing::Closed,
        };
    }
    // A UDP port cannot be tried: whatever is sent there reaches the program. So one call goes ahead as
    // soon as the Machine runs, and the others wait for what becomes of it.
    let udp = port.protocol == Protocol::Udp;
    let unproven = udp && service.readiness == Readiness::Unknown;
    match service.readiness {
        _ if unproven && state == MachineState::Started => {}
        _ if unproven => return Standing::Coming { probing: true },
        Readiness::Probing => return Standing::Coming { probing: true },
        Readiness::Unknown => return Standing::Coming { probing: false },
        Readiness::Ready => {}
    }
    let hurried = service.checkup.hurried || !service.checkup.is_unproven();
    match service.checkup.health() {
        Health::Untried => return Standing::Untried { hurried },
        Health::Failing => return Standing::Failing { hurried },
        Health::Passing => {}
    }
    let limits = offered.concurrency;
    if limits.hard_limit.is_some_and(|hard| service.load >= hard) {
        return Standing::Full;
    }
    if service.circuit.is_out(now) {
        return Standing::Ejected { load: service.load };
    }
    let soft = limits
        .soft_limit
        .or(limits.hard_limit)
        .unwrap_or(DEFAULT_SOFT);
    Standing::Open {
        load: service.load,
        below_soft: service.load < soft,
        unproven,
    }
}

/// What a scan over an app's Machines found for one call.
#[allow(clippy::struct_excessive_bools)] // independent findings, not states
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    /// The Machine to use.
    pub(crate) best: Option<usize>,
    /// The Machine to wake.
    pub(crate) wake: Option<usize>,
    /// Something may come true without a wake: a full, coming or waking Machine.
    pub(crate) hope: bool,
    /// A Machine is on its way up.
    pub(crate) comes: bool,
    /// A Machine takes calls and is at its hard limit.
    pub(crate) full: bool,
    /// A Machine serves the port at all.
    pub(crate) served: bool,
    /// The Machine to use when there is nobody else: it is left alone since it does not answer.
    ejected: Option<usize>,
    /// A Machine would take calls if its checks passed.
    pub(crate) unhealthy: bool,
    /// Some Machine's port has to be tried.
    pub(crate) unprobed: bool,
    /// Some Machine's checks should be run without delay.
    pub(crate) unhurried: bool,
}

#[derive(Default)]
struct Scan {
    choice: Choice,
    best: Option<((u8, u32), u32)>,
    ejected: Option<(usize, u32)>,
    local_room: bool,
    local_in_flight: bool,
    remote_in_flight: bool,
    local_asleep: Option<(usize, bool)>,
    remote_asleep: Option<(usize, bool)>,
}

/// Chooses for a call; chance breaks ties. The steps of its wish are tried in order: the first
/// that has a Machine which takes calls, or comes without another's help, counts. One where all are at their
/// hard limits is passed by, and remembered as a hope. When nobody is left, one that does not answer is tried.
pub(crate) fn choose(entries: &[Entry], ask: Ask<'_>, at: Moment<'_>) -> Choice {
    let mut all = Choice::default();
    for step in steps(ask.wish) {
        let mut found = choose_of(entries, ask, step, at);
        found.remember(&all);
        if found.best.is_some() || found.wake.is_some() || found.comes {
            return found;
        }
        all = found;
    }
    if !all.full {
        all.best = all.ejected;
    }
    all
}

impl Choice {
    /// Takes in what an earlier step of the wish found, which was not enough.
    fn remember(&mut self, earlier: &Self) {
        self.full |= earlier.full;
        self.served |= earlier.served;
        self.unhealthy |= earlier.unhealthy;
        self.unprobed |= earlier.unprobed;
        self.unhurried |= earlier.unhurried;
        self.hope |= earlier.hope;
        self.ejected = earlier.ejected.or(self.ejected);
    }
}

/// Chooses among those of one step.
fn choose_of(entries: &[Entry], ask: Ask<'_>, step: Step<'_>, at: Moment<'_>) -> Choice {
    let mut scan = Scan::default();
    let mut random = at.random | 1;
    let region = &*at.limits.region;
    let those = entries.iter().enumerate();
    for (index, entry) in those.filter(|(_, entry)| step.takes(&entry.machine)) {
        let local = region.is_empty() || *entry.machine.region == *region;
        let standing = standing_for(entry, ask.port, ask.exclude, at.now);
        scan.choice.served |= standing != Standing::Apart;
        scan.note(index, local, standing, &mut random);
    }
    scan.finish()
}

impl Scan {
    fn note(&mut self, index: usize, local: bool, standing: Standing, random: &mut u64) {
        match standing {
            Standing::Apart | Standing::Closed => {}
            Standing::Open {
                load,
                below_soft,
                unproven,
            } => {
                self.local_room |= local && below_soft && !unproven;
                if unproven {
                    self.in_flight(local);
                }
                let tier = tier(local, below_soft) + if unproven { UNPROVEN } else { 0 };
                self.offer(index, (tier, load), random);
            }
            Standing::Full => {
                self.choice.full = true;
                self.choice.hope = true;
            }
            Standing::Coming { probing } => {
                self.choice.unprobed |= !probing;
                self.in_flight(local);
            }
            Standing::Untried { hurried } => {
                self.choice.unhurried |= !hurried;
                self.choice.unhealthy = true;
                self.in_flight(local);
            }
            Standing::Failing { hurried } => {
                self.choice.unhurried |= !hurried;
                self.choice.unhealthy = true;
                self.choice.hope = true;
            }
            Standing::Ejected { load } => {
                if self.ejected.is_none_or(|(_, known)| load < known) {
                    self.ejected = Some((index, load));
                }
            }
            Standing::Waking => self.in_flight(local),
            Standing::Asleep { quick } => {
                let place = if local {
                    &mut self.local_asleep
                } else {
                    &mut self.remote_asleep
                };
                if place.is_none_or(|(_, known_quick)| quick && !known_quick) {
                    *place = Some((index, quick));
                }
            }
        }
    }

    fn in_flight(&mut self, local: bool) {
        self.choice.hope = true;
        self.choice.comes = true;
        if local {
            self.local_in_flight = true;
        } else {
            self.remote_in_flight = true;
        }
    }

    /// Keeps the better one; among equals each has the same chance to stay.
    fn offer(&mut self, index: usize, rank: (u8, u32), random: &mut u64) {
        let seen = match self.best {
            Some((known, _)) if known < rank => return,
            Some((known, seen)) if known == rank => seen + 1,
            _ => 1,
        };
        if seen == 1 || next(random).is_multiple_of(u64::from(seen)) {
            self.choice.best = Some(index);
        }
        self.best = Some((rank, seen));
    }

    fn finish(mut self) -> Choice {
        let nobody = self.choice.best.is_none();
        let local = (!self.local_room && !self.local_in_flight).then_some(self.local_asleep);
        let remote_wanted = nobody && !self.remote_in_flight && !self.local_in_flight;
        let remote = remote_wanted.then_some(self.remote_asleep);
        let wake = local.flatten().or(remote.flatten());
        self.choice.wake = wake.map(|(index, _)| index);
        self.choice.ejected = self.ejected.map(|(index, _)| index);
        self.choice
    }
}

/// What is added to the tier of a Machine of which nobody knows whether it takes calls: it comes last.
const UNPROVEN: u8 = 4;

const fn tier(local: bool, below_soft: bool) -> u8 {
    match (local, below_soft) {
        (true, true) => 0,
        (true, false) => 1,
        (false, true) => 2,
        (false, false) => 3,
    }
}

/// One step of xorshift64: enough to spread ties, and no state to keep.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random >> 16
}
