//! A small world of networks, apps and Machines, and a client that asks in it.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic
)]
#![allow(clippy::missing_panics_doc, clippy::expect_used)]

use std::net::Ipv6Addr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use roost_dns::{MachineView, NetworkView, Outcome, Owner, Transport, answer};

#[derive(Debug, Clone)]
pub struct Machine {
    pub id: String,
    pub app: String,
    pub region: String,
    pub group: String,
    pub address: Ipv6Addr,
    pub started: bool,
    pub listed: bool,
    pub metadata: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy)]
pub struct Seen<'a>(&'a Machine);

impl MachineView for Seen<'_> {
    fn id(&self) -> &str {
        &self.0.id
    }
    fn app(&self) -> &str {
        &self.0.app
    }
    fn region(&self) -> &str {
        &self.0.region
    }
    fn group(&self) -> &str {
        &self.0.group
    }
    fn address(&self) -> Ipv6Addr {
        self.0.address
    }
    fn started(&self) -> bool {
        self.0.started
    }
    fn listed(&self) -> bool {
        self.0.listed
    }
    fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .metadata
            .iter()
            .map(|(key, value)| (&**key, &**value))
    }
}

/// One network: `fdaa:0:1::/48`, seen from region `ams`.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub apps: Vec<String>,
    pub machines: Vec<Machine>,
    pub flycast: Vec<(String, Ipv6Addr)>,
    pub source_key: Option<String>,
}

impl World {
    /// `web` with Machines in three regions, one asleep; `quiet` without Machines; `console` hidden;
    /// `guest` of another network with an address here.
    pub fn example() -> Self {
        let mut world = Self::default();
        world.add("aaa1", "web", "ams", "app");
        world.add("aaa2", "web", "fra", "app").metadata = vec![("Role".into(), "db.main".into())];
        world.add("aaa3", "web", "sin", "worker");
        world.add("aaa4", "web", "ord", "app").started = false;
        world.add("bbb1", "console", "ams", "app").listed = false;
        world.apps.push("quiet".into());
        world
            .flycast
            .push(("web".into(), "fdaa:0:1:0:1::2".parse().unwrap()));
        world
            .flycast
            .push(("guest".into(), "fdaa:0:1:0:1::3".parse().unwrap()));
        world
    }

    pub fn add(&mut self, id: &str, app: &str, region: &str, group: &str) -> &mut Machine {
        if !self.apps.iter().any(|known| known == app) {
            self.apps.push(app.into());
        }
        let number = self.machines.len() as u128 + 1;
        let base = "fdaa:0:1:0:2:0:0:2".parse::<Ipv6Addr>().unwrap().to_bits();
        self.machines.push(Machine {
            id: id.into(),
            app: app.into(),
            region: region.into(),
            group: group.into(),
            address: Ipv6Addr::from_bits(base + (number << 16)),
            started: true,
            listed: true,
            metadata: Vec::new(),
        });
        self.machines.last_mut().unwrap()
    }
}

impl NetworkView for World {
    type Machine<'a> = Seen<'a>;

    fn prefix(&self) -> Ipv6Addr {
        "fdaa:0:1::".parse().unwrap()
    }
    fn distance(&self, region: &str) -> u32 {
        ["ams", "fra", "ord", "sin"]
            .iter()
            .position(|known| *known == region)
            .unwrap() as u32
    }
    fn machines(&self, app: &str) -> Option<impl Iterator<Item = Seen<'_>>> {
        let known = self.apps.iter().any(|known| known == app);
        let app = app.to_owned();
        known.then(|| {
            self.machines
                .iter()
                .filter(move |machine| machine.app == app)
                .map(Seen)
        })
    }
    fn started(&self, app: &str) -> impl Iterator<Item = Seen<'_>> {
        let machines = self.machines(app).into_iter().flatten();
        machines.filter(MachineView::started)
    }
    fn all_started(&self) -> impl Iterator<Item = Seen<'_>> {
        self.machines
            .iter()
            .filter(|machine| machine.started)
            .map(Seen)
    }
    fn machine(&self, id: &str) -> Option<Seen<'_>> {
        self.machines
            .iter()
            .find(|machine| machine.id == id)
            .map(Seen)
    }
    fn source_key(&self) -> Option<String> {
        self.source_key.clone()
    }
    fn apps(&self) -> impl Iterator<Item = &str> {
        self.apps.iter().map(String::as_str)
    }
    fn flycast(&self, app: &str) -> impl Iterator<Item = Ipv6Addr> {
        let has = self.flycast.iter().filter(move |(name, _)| name == app);
        has.map(|(_, address)| *address)
            .collect::<Vec<_>>()
            .into_iter()
    }
    fn owner(&self, address: Ipv6Addr) -> Option<Owner<'_, Seen<'_>>> {
        let machine = self
            .machines
            .iter()
            .find(|machine| machine.address == address);
        let flycast = self.flycast.iter().find(|(_, ip)| *ip == address);
        machine
            .map(|machine| Owner::Machine(Seen(machine)))
            .or(flycast.map(|(app, _)| Owner::Flycast(app)))
    }
}

/// A query as a resolver library makes it; `edns` is the payload size to allow.
pub fn query(name: &str, kind: RecordType, edns: Option<u16>) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    if let Some(payload) = edns {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message
}

/// What the world does with a message; deterministic order.
pub fn outcome(world: &World, message: &[u8], transport: Transport) -> Outcome {
    let mut state = 7_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    };
    answer(message, world, transport, &mut random)
}

/// The bytes of the reply; panics when there is none.
pub fn reply_bytes(world: &World, message: &[u8], transport: Transport) -> Vec<u8> {
    match outcome(world, message, transport) {
        Outcome::Reply(bytes) => bytes,
        other => panic!("no reply but {other:?}"),
    }
}

/// Asks over UDP without EDNS.
pub fn ask(world: &World, name: &str, kind: RecordType) -> Message {
    let query = query(name, kind, None).to_vec().unwrap();
    Message::from_vec(&reply_bytes(world, &query, Transport::Udp)).unwrap()
}

/// The addresses in a reply, sorted and short: the Machine's number in the example world.
pub fn numbers(reply: &Message) -> Vec<u16> {
    let mut found: Vec<u16> = reply
        .answers
        .iter()
        .map(|record| match record.data {
            RData::AAAA(ip) => ip.0.segments()[6],
            ref other => panic!("not an address: {other}"),
        })
        .collect();
    found.sort_unstable();
    found
}

/// The one TXT record of a reply as a string.
pub fn text(reply: &Message) -> String {
    let [record] = &reply.answers[..] else {
        panic!("{reply}")
    };
    let RData::TXT(txt) = &record.data else {
        panic!("{reply}")
    };
    String::from_utf8(txt.txt_data.concat()).unwrap()
}
