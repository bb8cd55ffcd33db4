//! One external port of an app: how it is handled, and who may call it.

use std::sync::Arc;

use roost_wire::{App, Name, Port, Service};

/// An external port, as the Machines that serve it say.
#[derive(Debug, Clone, Default)]
pub(super) struct PortEntry {
    /// How many Machines serve it.
    pub(super) machines: usize,
    /// What they say of it, the one that counts first. They mostly say the same, so it is kept once.
    words: Vec<Word>,
    pub(super) guards: Vec<Guard>,
}

/// How a port is handled.
#[derive(Debug, Clone)]
struct Word {
    value: Arc<Port>,
    /// How many Machines say so.
    machines: usize,
}

/// A list of the apps that may call. The Machines of an app mostly have the same, so it is kept once.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    apps: Vec<Name>,
    /// How many Machines have it.
    machines: usize,
}

impl PortEntry {
    /// How the port is handled. While Machines disagree, the `http` handler goes before its absence: what
    /// it takes out of requests must not reach a Machine that counts on it. After that what can be
    /// served goes before what cannot, and the later word before the earlier.
    pub(super) fn value(&self) -> Option<&Arc<Port>> {
        self.words.first().map(|word| &word.value)
    }

    /// One more Machine serves it.
    pub(super) fn add(&mut self, service: &Service, port: &Port) {
        self.machines += 1;
        self.add_word(port);
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
    pub(super) fn drop(&mut self, service: &Service, port: &Port) {
        self.machines = self.machines.saturating_sub(1);
        self.drop_word(port);
        let Some(apps) = &service.allowed_apps else {
            return;
        };
        if let Some(guard) = self.guards.iter_mut().find(|guard| guard.apps == *apps) {
            guard.machines = guard.machines.saturating_sub(1);
        }
        self.guards.retain(|guard| guard.machines > 0);
    }

    fn add_word(&mut self, port: &Port) {
        if let Some(word) = self.words.iter_mut().find(|word| *word.value == *port) {
            word.machines += 1;
            return;
        }
        let before = |word: &Word| rank(&word.value) < rank(port);
        let at = self.words.partition_point(before);
        let word = Word {
            value: Arc::new(port.clone()),
            machines: 1,
        };
        self.words.insert(at, word);
    }

    fn drop_word(&mut self, port: &Port) {
        if let Some(word) = self.words.iter_mut().find(|word| *word.value == *port) {
            word.machines = word.machines.saturating_sub(1);
        }
        self.words.retain(|word| word.machines > 0);
    }
}

/// The lower one counts: without `http`, with something that is not served.
fn rank(port: &Port) -> (bool, bool) {
    (!port.is_http(), port.unserved().is_some())
}

impl Guard {
    /// Whether `caller` is in the list of an app of the organization `org`.
    pub(super) fn names(&self, caller: &App, org: &str) -> bool {
        self.apps.iter().any(|name| means(name, caller, org))
    }
}

/// Whether a name in a list of an app of `org` means `app`. An organization has to be named for an app of
/// another one to be meant: who may make apps there could take any name that is free.
fn means(name: &str, app: &App, org: &str) -> bool {
    let (org, name) = name.split_once('/').unwrap_or((org, name));
    *app.id == *name && *app.org == *org
}
