//! Apps, and the addresses and names they are called by.

use std::collections::HashSet;
use std::sync::Arc;

use roost_wire::{Address, App, Name};

use super::place::Span;
use super::{AppEntry, Release, Table, Touched};

impl Table {
    pub(super) fn put_app(&mut self, mut value: App, touched: &mut Touched) {
        value.network = self.shared_word(value.network);
        value.org = self.shared_word(value.org);
        for address in &mut value.addresses {
            address.network = self.shared_word(address.network.clone());
        }
        let old = self.app(&value.id).cloned();
        if let Some(old) = &old {
            self.unlink_app(old, touched);
            touched.released.extend(released(old, Some(&value)));
        }
        self.link_app(&value, touched);
        let entry = self.apps.entry(value.id.clone()).or_default();
        entry.value = Some(Arc::new(value));
    }

    pub(super) fn del_app(&mut self, id: &str, touched: &mut Touched) {
        let entry = self.apps.get_mut(id);
        let Some(old) = entry.and_then(|entry| entry.value.take()) else {
            return;
        };
        self.unlink_app(&old, touched);
        touched.released.extend(released(&old, None));
        self.forget_empty_app(id);
    }

    fn link_app(&mut self, app: &App, touched: &mut Touched) {
        let spans = self.spans_of(&app.id);
        for address in &app.addresses {
            let entry = self.networks.entry(address.network.clone()).or_default();
            let called = entry.called.entry(address.ip).or_default();
            if address.shared {
                called.sharers += 1;
            } else {
                called.own = Some(app.id.clone());
                called.ports = address.ports.as_deref().map(Box::from);
            }
            for span in &spans {
                self.count_places(address, *span, touched);
            }
        }
        for host in &app.hosts {
            let named = self.hosts.entry(host.clone()).or_default();
            named.insert(app.id.clone());
        }
        let home = self.networks.entry(app.network.clone()).or_default();
        home.homes.insert(app.id.clone());
    }

    fn unlink_app(&mut self, app: &App, touched: &mut Touched) {
        let spans = self.spans_of(&app.id);
        for address in &app.addresses {
            self.unlink_address(&app.id, address);
            for span in &spans {
                self.uncount_places(address, *span, touched);
            }
            self.forget_empty_network(&address.network);
        }
        for host in &app.hosts {
            if let Some(named) = self.hosts.get_mut(host) {
                named.remove(&app.id);
                if named.is_empty() {
                    self.hosts.remove(host);
                }
            }
        }
        if let Some(home) = self.networks.get_mut(&app.network) {
            home.homes.remove(&app.id);
            self.forget_empty_network(&app.network);
        }
    }

    fn unlink_address(&mut self, app: &Name, address: &Address) {
        let Some(entry) = self.networks.get_mut(&address.network) else {
            return;
        };
        let Some(called) = entry.called.get_mut(&address.ip) else {
            return;
        };
        if address.shared {
            called.sharers = called.sharers.saturating_sub(1);
        } else {
            // Another app may have got it since.
            called.own.take_if(|own| own == app);
        }
        if called.own.is_none() && called.sharers == 0 {
            entry.called.remove(&address.ip);
        }
    }

    fn spans_of(&self, app: &str) -> Vec<Span> {
        let entry = self.apps.get(app);
        entry
            .map(|entry| entry.spans.keys().copied().collect())
            .unwrap_or_default()
    }

    pub(super) fn forget_empty_app(&mut self, id: &str) {
        let empty = |entry: &AppEntry| entry.value.is_none() && entry.machines.is_empty();
        if self.apps.get(id).is_some_and(empty) {
            self.apps.remove(id);
        }
    }

    /// The one shared copy of a word that many entries repeat.
    pub(super) fn shared_word(&mut self, word: Name) -> Name {
        if let Some(known) = self.words.get(&word) {
            return known.clone();
        }
        if self.words.len() == self.words.capacity() {
            self.words.retain(|word| Arc::strong_count(word) > 1);
        }
        self.words.insert(word.clone());
        word
    }
}

/// The addresses of `old` that `new` has not, each once.
fn released(old: &App, new: Option<&App>) -> Vec<Release> {
    let place = |address: &Address| (address.network.clone(), address.ip);
    let kept = new.iter().flat_map(|new| new.addresses.iter());
    let mut kept: HashSet<_> = kept.map(place).collect();
    let mut gone = old.addresses.iter().map(place).collect::<Vec<_>>();
    gone.retain(|place| kept.insert(place.clone()));
    let release = |(network, ip)| Release {
        app: old.id.clone(),
        network,
        ip,
        drain_ms: new.unwrap_or(old).drain_ms,
    };
    gone.into_iter().map(release).collect()
}
