//! What is told of an app: its load, and the wakes that are under way.

use std::sync::Arc;

use roost_wire::Machine;

use super::{AppState, LoadLine};
use crate::entry::Entry;

impl AppState {
    /// Whether there is something to report; reporting ends it when nothing is used or awaited.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Load since the last report, one line per service that was used.
    pub fn report_load(&mut self) -> Vec<LoadLine> {
        let mut lines = Vec::new();
        for entry in &mut self.entries {
            for service in &mut entry.services {
                if service.peak > 0 {
                    let id = entry.machine.id.clone();
                    lines.push((id, service.inner, service.load, service.peak));
                }
                service.peak = service.load;
            }
        }
        let waking = self.entries.iter().any(|entry| entry.waking.is_some());
        self.active = waking || !self.queue.is_empty() || lines.iter().any(|line| line.2 > 0);
        lines
    }

    /// Machines whose wake is in flight; with `awaited` only those that somebody waits for.
    pub fn wakes(&self, awaited: bool) -> Vec<Arc<Machine>> {
        let wanted = |entry: &&Entry| {
            let waits = || self.queue.ports().any(|port| entry.serving(port).is_some());
            entry.waking.is_some() && (!awaited || waits())
        };
        self.entries
            .iter()
            .filter(wanted)
            .map(|entry| entry.machine.clone())
            .collect()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Load of all Machines together.
    pub fn load(&self) -> u32 {
        self.entries.iter().map(Entry::load).sum()
    }
}
