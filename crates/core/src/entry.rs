//! One Machine in an app's routing state: its services' load and readiness, and a wake in flight.

use std::sync::Arc;

use roost_wire::{Machine, MachineState, Protocol, TransportPort};

use crate::Micros;
use crate::circuit::Circuit;
use crate::decision::{Life, Watch};
use crate::health::{Checkup, Health};

/// Whether a service's port is known to accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Accepted, or was running before we came.
    Ready,
    /// Not known to accept, and nobody tries.
    Unknown,
    /// Somebody tries the port.
    Probing,
}

/// One service of a Machine.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) inner: TransportPort,
    pub(crate) load: u32,
    pub(crate) peak: u32,
    pub(crate) readiness: Readiness,
    pub(crate) checkup: Checkup,
    pub(crate) circuit: Circuit,
}

/// One Machine of the app.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) machine: Arc<Machine>,
    /// Never used twice within an app, so a late release cannot hit a successor.
    pub(crate) epoch: u64,
    pub(crate) draining: bool,
    /// When a wake was asked for that has not come true yet.
    pub(crate) waking: Option<Micros>,
    /// When it became `starting` or `started`.
    pub(crate) up_since: Micros,
    /// Starts in a row that ended before a port accepted.
    pub(crate) false_starts: u8,
    /// How often it has come up.
    lives: u64,
    pub(crate) services: Vec<Service>,
}

/// What a `put` meant for a known Machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing that matters to those who wait.
    None,
    /// It went down before a port of it accepted.
    FalseStart,
}

impl Entry {
    pub(crate) fn new(machine: Arc<Machine>, epoch: u64, now: Micros) -> Self {
        // One that is already running when we first hear of it was started long ago, most likely:
        // its first connect tells.
        let machine_state = machine.state;
        let readiness = match machine_state {
            MachineState::Started => Readiness::Ready,
            _ => Readiness::Unknown,
        };
        let mut entry = Self {
            machine,
            epoch,
            draining: false,
            waking: None,
            up_since: now,
            false_starts: 0,
            // One that is just starting has its grace period before it.
            lives: u64::from(machine_state == MachineState::Starting),
            services: Vec::new(),
        };
        entry.rebuild_services(readiness);
        entry
    }

    /// Takes the Machine's new value.
    pub(crate) fn put(&mut self, machine: Arc<Machine>, now: Micros) -> Turn {
        let (from, to) = (self.machine.state, machine.state);
        let replaced = self.machine.instance != machine.instance;
        self.machine = machine;
        self.draining = false;
        let was_ready = self
            .services
            .iter()
            .any(|service| service.readiness == Readiness::Ready);
        let restarted = from.is_up()
            && (replaced || (from == MachineState::Started && to == MachineState::Starting));
        let keep = from.is_up() && to.is_up() && !restarted;
        if !keep {
            self.forget_readiness();
        }
        self.rebuild_services(Readiness::Unknown);
        if !keep && to.is_up() {
            self.begin_life();
        }
        if !to.is_up() {
            return if from.is_up() && !was_ready {
                Turn::FalseStart
            } else {
                Turn::None
            };
        }
        self.waking = None;
        if !keep {
            self.up_since = now;
        }
        Turn::None
    }

    fn forget_readiness(&mut self) {
        for service in &mut self.services {
            service.readiness = Readiness::Unknown;
        }
    }

    fn begin_life(&mut self) {
        self.lives += 1;
        for service in &mut self.services {
            service.checkup.begin();
            service.circuit = Circuit::default();
        }
    }

    /// This time that it is up, or was up last.
    pub(crate) fn life(&self) -> Life {
        Life {
            epoch: self.epoch,
            number: self.lives,
        }
    }

    /// What has to be watched of it now.
    pub(crate) fn watch(&self) -> Option<Watch> {
        let services = self.machine.services.iter();
        let has_checks = !self.machine.checks.is_empty()
            || services
                .map(|service| &service.checks)
                .any(|checks| !checks.is_empty());
        (has_checks && self.machine.state.is_up()).then(|| Watch {
            machine: self.machine.clone(),
            life: self.life(),
            known: self.lives == 0,
        })
    }

    /// Another state has decided meanwhile: whoever tried its ports or checks here has stopped.
    pub(crate) fn let_go(&mut self) {
        self.waking = None;
        for service in &mut self.services {
            service.checkup.hurried = false;
            if service.readiness == Readiness::Probing {
                service.readiness = Readiness::Unknown;
            }
        }
    }

    /// As [`Self::watch`], where it was watched before: what has passed since it came up is known.
    pub(crate) fn watch_again(&self) -> Option<Watch> {
        let proven = self.services.iter().all(|one| !one.checkup.is_unproven());
        let watch = self.watch()?;
        Some(Watch {
            known: watch.known || proven,
            ..watch
        })
    }

    /// The checks that keep calls from it, as `machine: check, check`; `None` when all pass.
    pub(crate) fn failing(&self, port: TransportPort) -> Option<String> {
        let (_, service) = self.serving(port)?;
        let up = self.machine.state.is_up() && !self.draining && !self.machine.cordoned;
        if !up || service.checkup.health() == Health::Passing {
            return None;
        }
        let names: Vec<&str> = service.checkup.not_passing().map(|name| &**name).collect();
        Some(format!("{}: {}", self.machine.id, names.join(", ")))
    }

    fn rebuild_services(&mut self, fresh: Readiness) {
        let old = std::mem::take(&mut self.services);
        for offered in &self.machine.services {
            let inner = inner(offered);
            let taken = self.services.iter().any(|known| known.inner == inner);
            if taken || inner.protocol == Protocol::Other {
                continue;
            }
            let known = old.iter().find(|service| service.inner == inner).cloned();
            let mut service = known.unwrap_or(Service {
                inner,
                load: 0,
                peak: 0,
                readiness: fresh,
                checkup: Checkup::default(),
                circuit: Circuit::default(),
            });
            service.checkup.define(offered.checks.iter());
            self.services.push(service);
        }
    }

    /// The offered service behind an external port, and its state.
    pub(crate) fn serving(&self, port: TransportPort) -> Option<(&roost_wire::Service, &Service)> {
        let offered = self.machine.services.iter().find(|service| {
            service.protocol == port.protocol && service.ports.iter().any(|one| one.has(port.port))
        })?;
        let inner = inner(offered);
        let state = self.services.iter().find(|one| one.inner == inner)?;
        Some((offered, state))
    }

    /// Whether only one external port leads to a port of the Machine.
    pub(crate) fn has_one_port(&self, of: TransportPort) -> bool {
        let offered = self.machine.services.iter();
        let those = offered.filter(|service| inner(service) == of);
        let mut ports = those.flat_map(|service| service.ports.iter());
        let single = |port: &roost_wire::Port| port.span().len() == 1;
        ports.next().is_some_and(single) && ports.next().is_none()
    }

    pub(crate) fn service_mut(&mut self, inner: TransportPort) -> Option<&mut Service> {
        self.services
            .iter_mut()
            .find(|service| service.inner == inner)
    }

    /// Load of all services together.
    pub(crate) fn load(&self) -> u32 {
        self.services.iter().map(|service| service.load).sum()
    }
}

/// The port of a Machine that a service leads to.
pub(crate) fn inner(service: &roost_wire::Service) -> TransportPort {
    TransportPort {
        protocol: service.protocol,
        port: service.internal_port,
    }
}
