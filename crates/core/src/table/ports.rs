//! The external ports of an app under one protocol, kept as ranges: a range of ten thousand ports is one
//! entry until a part of it differs.
//!
//! The ports are cut where a range that some Machine offers begins or ends, so all ports of a segment are
//! offered by the same Machines. A cut is mended when nobody needs it any more; there are never more
//! segments than twice the ranges that differ.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use roost_wire::{Port, Service};

use super::port::PortEntry;

/// Ports as ranges, each with what is known of it.
#[derive(Debug, Default)]
pub(super) struct Ports {
    /// By the first port.
    segments: BTreeMap<u16, Segment>,
    /// How many ranges begin at a port, or end before it.
    cuts: BTreeMap<u32, usize>,
}

#[derive(Debug)]
struct Segment {
    last: u16,
    entry: PortEntry,
}

impl Ports {
    /// What is known of a port.
    pub(super) fn get(&self, port: u16) -> Option<&PortEntry> {
        let (_, segment) = self.segments.range(..=port).next_back()?;
        (segment.last >= port).then_some(&segment.entry)
    }

    /// The first port of each range with what is known of all its ports, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, &PortEntry)> {
        let segments = self.segments.iter();
        segments.map(|(first, segment)| (*first, &segment.entry))
    }

    /// One more Machine offers a port or range.
    pub(super) fn add(&mut self, service: &Service, port: &Port) {
        let (first, last) = port.span().into_inner();
        self.cut(u32::from(first));
        self.cut(u32::from(last) + 1);
        self.fill(first, last);
        for (_, segment) in self.segments.range_mut(first..=last) {
            segment.entry.add(service, port);
        }
    }

    /// One Machine less offers a port or range.
    pub(super) fn drop(&mut self, service: &Service, port: &Port) {
        let span = port.span();
        for (_, segment) in self.segments.range_mut(span.clone()) {
            segment.entry.drop(service, port);
        }
        self.forget_empty(&span);
        self.mend(u32::from(*span.start()));
        self.mend(u32::from(*span.end()) + 1);
    }

    /// Makes segments where there are none within a range whose ends are cut.
    fn fill(&mut self, first: u16, last: u16) {
        let mut gaps = Vec::new();
        let mut at = u32::from(first);
        for (begin, segment) in self.segments.range(first..=last) {
            gaps.push((at, u32::from(*begin)));
            at = u32::from(segment.last) + 1;
        }
        gaps.push((at, u32::from(last) + 1));
        for (begin, end) in gaps.into_iter().filter(|(begin, end)| begin < end) {
            if let (Ok(begin), Ok(last)) = (u16::try_from(begin), u16::try_from(end - 1)) {
                let entry = PortEntry::default();
                self.segments.insert(begin, Segment { last, entry });
            }
        }
    }

    fn forget_empty(&mut self, span: &RangeInclusive<u16>) {
        let within = self.segments.range(span.clone());
        let empty = within.filter(|(_, segment)| segment.entry.machines == 0);
        let empty: Vec<u16> = empty.map(|(first, _)| *first).collect();
        for first in empty {
            self.segments.remove(&first);
        }
    }

    /// A segment begins at `at`, if there is one, from now on.
    fn cut(&mut self, at: u32) {
        *self.cuts.entry(at).or_default() += 1;
        let Ok(at) = u16::try_from(at) else {
            return;
        };
        let Some((_, before)) = self.segments.range_mut(..at).next_back() else {
            return;
        };
        if before.last >= at {
            let after = Segment {
                last: before.last,
                entry: before.entry.clone(),
            };
            before.last = at - 1;
            self.segments.insert(at, after);
        }
    }

    /// One reason less for a cut; without any the segments on both sides are the same and become one.
    fn mend(&mut self, at: u32) {
        match self.cuts.get_mut(&at) {
            Some(count) if *count > 1 => {
                *count -= 1;
                return;
            }
            _ => self.cuts.remove(&at),
        };
        let Ok(at) = u16::try_from(at) else {
            return;
        };
        let touches = |(_, before): &(&u16, &mut Segment)| before.last.checked_add(1) == Some(at);
        let Some(after) = self.segments.remove(&at) else {
            return;
        };
        match self.segments.range_mut(..at).next_back().filter(touches) {
            Some((_, before)) => before.last = after.last,
            None => drop(self.segments.insert(at, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use roost_wire::TransportPort;

    use super::*;

    fn offered(first: u16, last: u16, handlers: usize) -> (Service, Port) {
        let handlers = ["http", "tls"].get(..handlers).unwrap_or_default();
        let port = serde_json::json!({"port": first, "end_port": last, "handlers": handlers});
        let port: Port = serde_json::from_value(port).unwrap();
        let service = serde_json::json!({"internal_port": 1});
        (serde_json::from_value(service).unwrap(), port)
    }

    fn ends() -> impl Strategy<Value = u16> {
        prop_oneof![0..12_u16, 65_530..=u16::MAX]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Each port is known as the ranges over it say, and there are no more segments than needed.
        #[test]
        fn ranges_are_as_their_ports(
            changes in prop::collection::vec((ends(), ends(), 0..3_usize, any::<bool>()), 1..40)
        ) {
            let mut ports = Ports::default();
            let mut live: Vec<(Service, Port)> = Vec::new();
            for (one, other, handlers, add) in changes {
                let (service, port) = offered(one.min(other), one.max(other), handlers);
                if add || live.is_empty() {
                    ports.add(&service, &port);
                    live.push((service, port));
                } else {
                    let (service, port) = live.swap_remove(usize::from(one) % live.len());
                    ports.drop(&service, &port);
                }
                for number in (0..14).chain(65_528..=u16::MAX) {
                    let over = live.iter().filter(|(_, port)| port.has(number));
                    let found = ports.get(number).map_or(0, |entry| entry.machines);
                    prop_assert_eq!(found, over.clone().count(), "{}", TransportPort::from(number));
                    let http = over.clone().any(|(_, port)| port.is_http());
                    let word = ports.get(number).and_then(PortEntry::value);
                    prop_assert_eq!(word.is_some_and(|word| word.is_http()), http);
                }
                prop_assert!(ports.segments.len() <= 2 * live.len());
                let cuts: usize = ports.cuts.values().sum();
                prop_assert_eq!(cuts, 2 * live.len());
            }
        }
    }
}
