"""The DNS of the private networks, asked from inside them with dnspython and dig."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import IO

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from tests.support.dns_world import (
    COMMON,
    DnsNetwork,
    DnsWorld,
    address_of,
    addresses,
    answer_a,
    dns_world,
    text,
    upstream,
)
from tests.support.namespaces import inside, isolated

pytestmark = pytest.mark.root

FLYCAST = "fdaa:0:1:0:1::2"
CROWD = 100


async def example(world: DnsWorld) -> DnsNetwork:
    """Network 1 with `web`: 1 and 2 here, 3 elsewhere, 4 stopped, 5 suspended, 6 hidden."""
    network = await world.network(1)
    world.app("web", 1, (1, FLYCAST))
    world.machine(1, "web")
    world.machine(2, "web", group="worker", metadata={"role": "main", "fly_x": "a.b"})
    world.machine(3, "web", region="fra")
    world.machine(4, "web", region="ord", state="stopped")
    world.machine(5, "web", state="suspended")
    world.machine(6, "web", dns=False)
    world.app("console", 1)
    world.machine(7, "console", dns=False)
    return network


def ours(*numbers: int) -> list[str]:
    return sorted(address_of(number) for number in numbers)


@isolated
async def test_address_names(tmp_path: Path) -> None:
    """Each form of address name answers its started Machines, at both servers, over UDP and TCP."""
    names = {
        "web.internal": ours(1, 2, 3),
        "global.web.internal": ours(1, 2, 3),
        "local.web.internal": ours(1, 2),
        "fra.web.internal": ours(3),
        "top2.nearest.of.web.internal": ours(1, 2),
        "top9.nearest.of.web.internal": ours(1, 2, 3),
        "worker.process.web.internal": ours(2),
        f"{3:014x}.vm.web.internal": ours(3),
        "main.role.kv._metadata.web.internal": ours(2),
        "a.b.fly_x.kv._metadata.web.internal": ours(2),
        "web.flycast": [FLYCAST],
    }
    async with dns_world(tmp_path) as world:
        network = await example(world)
        for name, expected in names.items():
            for server in (COMMON, network.server):
                for tcp in (False, True):
                    reply = await network.ask(name, tcp=tcp, server=server)
                    assert expected == sorted(addresses(reply)), name
                    assert reply.flags & dns.flags.AA, name
                    assert all(rrset.ttl == 5 for rrset in reply.answer), name


@isolated
async def test_nearest_first(tmp_path: Path) -> None:
    """`top<N>` gives the caller's own region before any other."""
    async with dns_world(tmp_path) as world:
        network = await example(world)
        reply = await network.ask("top3.nearest.of.web.internal")
        assert address_of(3) == addresses(reply)[-1]


@isolated
async def test_text_names(tmp_path: Path) -> None:
    """Each TXT name lists what it says."""
    one, two, three, four, five = (f"{number:014x}" for number in range(1, 6))
    instance = "instance={},app=web,ip={},region={}"
    started = [
        instance.format(one, address_of(1), "local"),
        instance.format(two, address_of(2), "local"),
        instance.format(three, address_of(3), "fra"),
    ]
    asleep = [
        instance.format(four, address_of(4), "ord"),
        instance.format(five, address_of(5), "local"),
    ]
    names = {
        "regions.web.internal": "fra,local",
        "all.regions.web.internal": "fra,local,ord",
        "vms.web.internal": f"{one} local,{two} local,{three} fra",
        "all.vms.web.internal": f"{one} local,{two} local,{three} fra,{four} ord,{five} local",
        "_apps.internal": "quiet,web",
        "_instances.internal": ";".join(started),
        "all._instances.internal": ";".join(started + asleep),
    }
    async with dns_world(tmp_path) as world:
        network = await example(world)
        world.app("quiet", 1)
        for name, expected in names.items():
            assert expected == text(await network.ask(name, "TXT", tcp=True)), name


@isolated
async def test_no_data_and_no_name(tmp_path: Path) -> None:
    """A name without such a record is NOERROR, a name nobody has NXDOMAIN; both bring the SOA."""
    empty = [
        ("web.internal", "A"),
        ("web.internal", "TXT"),
        ("web.flycast", "A"),
        ("ord.web.internal", "AAAA"),
        ("none.process.web.internal", "AAAA"),
        (f"{4:014x}.vm.web.internal", "AAAA"),
        (f"{6:014x}.vm.web.internal", "AAAA"),
        ("vm.web.internal", "AAAA"),
        ("_api.internal", "AAAA"),
        ("_peer.internal", "TXT"),
        ("internal", "AAAA"),
    ]
    missing = [
        ("nobody.internal", "AAAA"),
        ("console.internal", "AAAA"),
        ("vms.nobody.internal", "TXT"),
        ("peer._peer.internal", "AAAA"),
        ("top0.nearest.of.web.internal", "AAAA"),
        ("www.web.flycast", "AAAA"),
        ("nobody.flycast", "AAAA"),
        ("metadata.google.internal", "A"),
    ]
    async with dns_world(tmp_path) as world:
        network = await example(world)
        for cases, code in ((empty, dns.rcode.NOERROR), (missing, dns.rcode.NXDOMAIN)):
            for name, kind in cases:
                reply = await network.ask(name, kind)
                assert (code, []) == (reply.rcode(), reply.answer), name
                (soa,) = reply.authority
                assert (5, 5) == (soa.ttl, soa[0].minimum), name


@isolated
async def test_states_are_followed(tmp_path: Path) -> None:
    """A Machine is in DNS from its start to its stop, its Flycast name all the time."""
    async with dns_world(tmp_path) as world:
        network = await world.network(1)
        world.app("web", 1, (1, FLYCAST))
        seen = []
        for state in ("created", "starting", "started", "stopping", "stopped"):
            world.machine(1, "web", state=state)
            seen.append(len(addresses(await network.ask("web.internal"))))
            assert [FLYCAST] == addresses(await network.ask("web.flycast"))
        assert [0, 0, 1, 0, 0] == seen
        world.control.call("del", kind="app", id="web")
        assert dns.rcode.NXDOMAIN == (await network.ask("web.flycast")).rcode()


@isolated
async def test_networks_are_apart(tmp_path: Path) -> None:
    """A network sees its own apps and those that have an address on it, and no other name."""
    shared = "fdaa:0:2:0:1::9"
    async with dns_world(tmp_path) as world:
        one, two = await example(world), await world.network(2)
        world.app("guest", 1, (2, shared))
        world.app("other", 2, (2, "fdaa:0:2:0:1::a"))
        world.machine(8, "other", 2)
        assert [shared] == addresses(await two.ask("guest.flycast"))
        assert [address_of(8, 2)] == addresses(await two.ask("other.internal"))
        assert "other" == text(await two.ask("_apps.internal", "TXT"))
        assert "console" not in text(await one.ask("_apps.internal", "TXT"))
        for network, name in (
            (one, "guest.flycast"),
            (one, "other.flycast"),
            (one, "other.internal"),
            (one, f"{8:014x}.vm.other.internal"),
            (two, "web.internal"),
            (two, "web.flycast"),
            (two, "guest.internal"),
            (two, f"{1:014x}.vm.web.internal"),
        ):
            assert dns.rcode.NXDOMAIN == (await network.ask(name)).rcode(), name


@isolated
async def test_reverse_names(tmp_path: Path) -> None:
    """`dig -x` names the network's own Machines and Flycast addresses and nothing else of fdaa."""
    async with (
        upstream(lambda query, _: [answer_a(query, "192.0.2.1").to_wire()]) as resolver,
        dns_world(tmp_path, resolvers=[resolver.setting]) as world,
    ):
        one, two = await example(world), await world.network(2)
        found = f"{1:014x}.vm.web.internal."
        assert found == (await one.dig("+short", "-x", address_of(1))).strip()
        assert "web.flycast." == (await one.dig("+short", "-x", FLYCAST)).strip()
        for network, address in (
            (one, address_of(4)),
            (one, address_of(6)),
            (one, "fdaa:0:1::77"),
            (one, "fdaa:9:9::1"),
            (two, address_of(1)),
            (two, FLYCAST),
        ):
            assert "status: NXDOMAIN" in await network.dig("-x", address), address
        assert [] == resolver.udp_queries


@isolated
async def test_long_answers(tmp_path: Path) -> None:
    """What does not fit a datagram is marked, and `dig` gets all of it over TCP."""
    async with dns_world(tmp_path) as world:
        network = await world.network(1)
        world.app("web", 1)
        for number in range(1, CROWD + 1):
            world.machine(number, "web")
        cut = await network.ask("web.internal")
        assert cut.flags & dns.flags.TC
        assert 0 < len(addresses(cut)) < CROWD
        assert len(cut.to_wire()) <= 512
        retried = await network.dig("+short", "web.internal", "AAAA")
        assert ours(*range(1, CROWD + 1)) == sorted(retried.split())
        listed = await network.ask("vms.web.internal", "TXT")
        assert listed.flags & dns.flags.TC
        assert not listed.answer
        whole = await network.ask("vms.web.internal", "TXT", tcp=True)
        assert CROWD == len(text(whole).split(","))
        assert max(len(string) for string in whole.answer[0][0].strings) == 255


@isolated
async def test_edns(tmp_path: Path) -> None:
    """The allowed size is used up to 1232 bytes, options are skipped, new versions refused."""
    async with dns_world(tmp_path) as world:
        network = await world.network(1)
        world.app("web", 1)
        for number in range(1, CROWD + 1):
            world.machine(number, "web")
        for payload, limit in ((100, 512), (800, 800), (4096, 1232)):
            option = dns.edns.GenericOption("65001", b"whatever")
            query = dns.message.make_query(
                "web.internal", "AAAA", payload=payload, options=[option]
            )
            size = len(await network.raw(query.to_wire()))
            assert limit - 28 < size <= limit
        plain = await network.ask("web.internal")
        assert -1 == plain.edns
        assert "status: BADVERS" in await network.dig("+edns=1", "+noednsneg", "web.internal")


@isolated
async def test_case_is_kept(tmp_path: Path) -> None:
    """A name in mixed case is found and comes back letter by letter as it was asked."""
    async with dns_world(tmp_path) as world:
        network = await example(world)
        query = dns.message.make_query("wEb.FlYcAsT", "AAAA")
        wire = query.to_wire()
        reply = await network.raw(wire)
        assert wire[12:] == reply[12 : len(wire)]
        assert [FLYCAST] == addresses(dns.message.from_wire(reply))
        # The record's owner is a pointer to the question, so it has the same letters.
        assert b"\xc0\x0c" == reply[len(wire) : len(wire) + 2]


@isolated
async def test_refusals(tmp_path: Path) -> None:
    """What is no query for names gets the right code, and the server goes on."""
    async with dns_world(tmp_path) as world:
        network = await example(world)
        good = dns.message.make_query("web.flycast", "AAAA").to_wire()
        cases = {
            good[:2] + b"\x28" + good[3:]: dns.rcode.NOTIMP,
            good[:-1]: dns.rcode.FORMERR,
            good + b"\0": dns.rcode.FORMERR,
            good[:4] + b"\0\0" + good[6:12]: dns.rcode.FORMERR,
            good[:4] + b"\0\2" + good[6:] + good[12:]: dns.rcode.FORMERR,
            good[:-2] + b"\0\3": dns.rcode.REFUSED,
            good[:-4] + b"\0\xfc\0\1": dns.rcode.REFUSED,
            good + b"\0" * 5000: dns.rcode.FORMERR,
        }
        for message, code in cases.items():
            reply = await network.raw(message)
            assert (good[:2], code) == (reply[:2], reply[3] & 15)
        assert [FLYCAST] == addresses(await network.ask("web.flycast"))


@isolated
async def test_forwarded(tmp_path: Path) -> None:
    """Other names are asked of the host's resolver: same query, other id, a new port each time."""
    async with (
        upstream(lambda query, _: [answer_a(query, "192.0.2.1").to_wire()]) as resolver,
        dns_world(tmp_path, resolvers=[resolver.setting]) as world,
    ):
        network = await world.network(1)
        sent = [dns.message.make_query("WWW.example.com", "A", use_edns=0) for _ in range(20)]
        for query in sent:
            assert ["192.0.2.1"] == addresses(await network.send(query))
        await network.ask("localhost", "A")
        assert [query.to_wire()[2:] for query in sent] == [q[2:] for q in resolver.udp_queries[:20]]
        assert len(set(resolver.udp_ports)) > 15
        assert len({query[:2] for query in resolver.udp_queries}) > 15


@isolated
async def test_forged_answers_are_ignored(tmp_path: Path) -> None:
    """An answer with another id or to another question is not taken for the answer."""

    def answers(query: dns.message.Message, _: str) -> list[bytes]:
        forged = answer_a(query, "203.0.113.6")
        forged.id ^= 1
        other = answer_a(dns.message.make_query("www.example.org", "A", id=query.id), "203.0.113.7")
        return [b"x", forged.to_wire(), other.to_wire(), answer_a(query, "192.0.2.1").to_wire()]

    async with (
        upstream(answers) as resolver,
        dns_world(tmp_path, resolvers=[resolver.setting]) as world,
    ):
        network = await world.network(1)
        assert ["192.0.2.1"] == addresses(await network.ask("www.example.com", "A"))


@isolated
async def test_resolvers_in_turn(tmp_path: Path) -> None:
    """A resolver that is dead, in trouble or one of our own is passed over."""

    def trouble(query: dns.message.Message, _: str) -> list[bytes]:
        reply = dns.message.make_response(query)
        reply.set_rcode(dns.rcode.SERVFAIL)
        return [reply.to_wire()]

    async with (
        upstream(trouble) as troubled,
        upstream(lambda query, _: [answer_a(query, "192.0.2.1").to_wire()]) as good,
    ):
        resolvers = ["fdaa::3", "fdaa:0:1::3", "127.0.0.1#1", troubled.setting, good.setting]
        async with dns_world(tmp_path, resolvers=resolvers) as world:
            network = await world.network(1)
            assert ["192.0.2.1"] == addresses(await network.ask("www.example.com", "A"))
        assert (1, 1) == (len(troubled.udp_queries), len(good.udp_queries))


@isolated
@pytest.mark.parametrize("resolvers", [[], ["127.0.0.1#1"], ["127.0.0.1#1", "::1#1"], ["fdaa::3"]])
async def test_no_resolver(tmp_path: Path, resolvers: list[str]) -> None:
    """Without a resolver that answers, other names are SERVFAIL with a reason and ours go on."""
    async with dns_world(tmp_path, resolvers=resolvers) as world:
        network = await example(world)
        failed = await network.send(dns.message.make_query("example.com", "A", use_edns=0))
        assert dns.rcode.SERVFAIL == failed.rcode()
        assert [dns.edns.OptionType.EDE] == [option.otype for option in failed.options]
        assert [FLYCAST] == addresses(await network.ask("web.flycast"))


@isolated
async def test_long_foreign_answers(tmp_path: Path) -> None:
    """A caller over TCP gets a long answer whole, one over UDP is told to come over TCP."""
    many = [f"192.0.2.{number}" for number in range(1, 201)]

    def answers(query: dns.message.Message, transport: str) -> list[bytes]:
        if transport == "tcp":
            return [answer_a(query, *many).to_wire()]
        cut = dns.message.make_response(query)
        cut.flags |= dns.flags.TC
        return [cut.to_wire()]

    async with (
        upstream(answers) as resolver,
        dns_world(tmp_path, resolvers=[resolver.setting]) as world,
    ):
        network = await world.network(1)
        assert (await network.ask("big.example.com", "A")).flags & dns.flags.TC
        assert [] == resolver.tcp_queries
        whole = await network.ask("big.example.com", "A", tcp=True)
        assert sorted(many) == sorted(addresses(whole))


@isolated
async def test_pipelined(tmp_path: Path) -> None:
    """Queries sent at once on one connection are all answered; a slow one holds up no other."""
    queries = [
        dns.message.make_query("slow.example.com", "A", id=1),
        dns.message.make_query("web.flycast", "AAAA", id=2),
        dns.message.make_query("nobody.flycast", "AAAA", id=3),
    ]
    async with (
        upstream(lambda query, _: [answer_a(query, "192.0.2.1").to_wire()]) as resolver,
        dns_world(tmp_path, resolvers=[resolver.setting]) as world,
    ):
        network = await example(world)
        wires = [query.to_wire() for query in queries]
        sent = b"".join(struct.pack("!H", len(wire)) + wire for wire in wires)
        with network.connect() as sock, sock.makefile("rb") as stream:
            # The resolver is this very thread: it cannot answer before the others are read.
            sock.sendall(sent)
            order = [next_frame(stream)[1] for _ in range(2)]
            assert [2, 3] == order
            await network.ask("wake.example.com", "A")
            assert 1 == next_frame(stream)[1]


def next_frame(stream: IO[bytes]) -> bytes:
    """The next message of a TCP stream."""
    (length,) = struct.unpack("!H", stream.read(2))
    return stream.read(length)


@isolated
async def test_connections_are_bounded(tmp_path: Path) -> None:
    """A Machine's connections beyond its share are closed at once, the others still serve."""
    async with dns_world(tmp_path) as world:
        network = await example(world)
        wire = dns.message.make_query("web.flycast", "AAAA").to_wire()
        framed = struct.pack("!H", len(wire)) + wire
        kept, refused = [], 0
        for _ in range(80):
            sock = network.connect()
            world.stack.callback(sock.close)
            try:
                sock.sendall(framed)
                answered = sock.recv(2)
            except ConnectionError:
                answered = b""
            if answered:
                kept.append(sock)
            else:
                refused += 1
        # Each of the proxy's two threads counts its own.
        assert 16 <= len(kept) <= 32
        assert 80 == len(kept) + refused
        for sock in kept:
            sock.sendall(framed)
            assert sock.recv(2)


@isolated
async def test_queries_under_way_are_bounded(tmp_path: Path) -> None:
    """What is asked beyond a Machine's share is SERVFAIL at once; another one is answered, and
    names of the network's own are answered.
    """

    def answers(query: dns.message.Message, _: str) -> list[bytes]:
        known = "other" in str(query.question[0].name)
        return [answer_a(query, "192.0.2.1").to_wire()] if known else []

    async with (
        upstream(answers) as resolver,
        dns_world(tmp_path, resolvers=[resolver.setting]) as world,
    ):
        network = await example(world)

        def ask(source: str, name: str, many: int, replies: int) -> list[dns.message.Message]:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                sock.settimeout(10)
                sock.bind((source, 0))
                sock.connect((COMMON, 53))
                for number in range(many):
                    query = dns.message.make_query(name, "A", use_edns=0, id=number)
                    sock.send(query.to_wire())
                return [dns.message.from_wire(sock.recv(4096)) for _ in range(replies)]

        refused = await inside(network.netns, lambda: ask(COMMON, "silent.example", 70, 6))
        # One caller's socket is one thread's.
        assert [reply.id for reply in refused] == list(range(64, 70))
        assert {reply.rcode() for reply in refused} == {dns.rcode.SERVFAIL}
        assert {option.code for reply in refused for option in reply.options} == {0}
        for _ in range(4):
            other = await inside(network.netns, lambda: ask(network.server, "other.example", 1, 1))
            assert ["192.0.2.1"] == addresses(other[0])
        assert [FLYCAST] == addresses(await network.ask("web.flycast"))
