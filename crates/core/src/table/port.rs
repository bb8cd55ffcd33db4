//! One external port of an app: how it is handled, and who may call it.

use std::sync::Arc;

use roost_wire::{Machine, Name, Port, Protocol, Service};

/// An external port, as the Machines that serve it say.
#[derive(Debug)]
pub(super) struct PortEntry {
    /// How many Machines serve it.
    pub(super) machines: usize,
    /// The latest word of any of them.
    pub(super) value: Arc<Port>,
    pub(super) guards: Vec<Guard>,
}

/// A list of the apps that may call. The Machines of an app mostly have the same, so it is kept once.
#[derive(Debug)]
pub(super) struct Guard {
    apps: Vec<Name>,
    /// How many Machines have it.
    machines: usize,
}

impl PortEntry {
    pub(super) fn new(port: &Port) -> Self {
        Self {
            machines: 0,
            value: Arc::new(port.clone()),
            guards: Vec::new(),
        }
    }

    /// One more Machine serves it.
    pub(super) fn add(&mut self, service: &Service, port: &Port) {
        self.machines += 1;
        if *self.value != *port {
            self.value = Arc::new(port.clone());
        }
        let Some(apps) = &service.allowed_apps else {
            return;
        };
        match self.guards.iter_mut().find(|guard| guard.apps == *apps) {
            Some(guard) => guard.machines += 1,
            None => self.guards.push(Guard {
                apps: apps.clone(),
                machines: 1,
            }),
        }
    }

    /// One Machine less serves it.
    pub(super) fn drop(&mut self, service: &Service) {
        self.machines = self.machines.saturating_sub(1);
        let Some(apps) = &service.allowed_apps else {
            return;
        };
        if let Some(guard) = self.guards.iter_mut().find(|guard| guard.apps == *apps) {
            guard.machines = guard.machines.saturating_sub(1);
        }
        self.guards.retain(|guard| guard.machines > 0);
    }
}

impl Guard {
    pub(super) fn names(&self, app: &str) -> bool {
        self.apps.iter().any(|name| **name == *app)
    }
}

/// The external TCP ports of a Machine, each once, with the service that serves it.
pub(super) fn external_ports(machine: &Machine) -> impl Iterator<Item = (&Service, &Port)> {
    let tcp = machine
        .services
        .iter()
        .filter(|service| service.protocol == Protocol::Tcp);
    let mut seen = Vec::new();
    tcp.flat_map(|service| service.ports.iter().map(move |port| (service, port)))
        .filter(move |(_, port)| {
            let new = !seen.contains(&port.port);
            if new {
                seen.push(port.port);
            }
            new
        })
}
