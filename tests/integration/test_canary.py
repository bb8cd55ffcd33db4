"""The canary in real networks: quiet where all is well, loud about every piece of damage."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import pytest

from roost.canary import netns
from roost.canary.base import Drift, Finding, Inhabitant, Kind, Name, Subject
from roost.canary.ground import Ground
from roost.canary.points import points_of
from roost.canary.survey import survey
from roost.errors import PreconditionError
from roost.network.addressed import router_of
from roost.network.names import home_tag, host_table
from roost.network.netns import NetnsNetwork
from tests.support.canary_world import CanaryWorld, canary_world
from tests.support.mutations import (
    HERE,
    Mutation,
    addresses_away,
    routes_away,
    rules_added,
    rules_away,
    settings_turned,
)
from tests.support.namespaces import isolated, run_inside
from tests.support.networks import attached, outside_world
from tests.support.own_namespaces import run_without_root

pytestmark = pytest.mark.root

ISOLATION = (
    "host: accept first in input",
    "host: accept first in forward",
    'host: no `iifname "ru#*" drop` in input',
    'host: no `oifname "ru#*" drop` in forward',
    "*: policy accept of input",
    "*: policy accept of forward",
    "*: no `fib saddr . iif oif missing drop` in from_machine",
    "*: no `iifgroup 1 jump from_machine` in prerouting",
    "*: accept first in prerouting",
    "*: accept first in from_machine",
    "*: accept first in machine_input",
    "*: accept first in input",
    "*: accept first in forward",
    "*: ipv6.conf.default.addr_gen_mode = 0",
    "egress: no `oifgroup 2 masquerade` in postrouting",
    "egress: no route unreachable fdaa::/16",
    "egress: no route unreachable 172.16.0.0/12",
    "egress: no route unreachable 169.254.0.0/16",
)
"""Damage that lets something through: a packet has to show it.

`*` is egress and closed; `#` stands for what differs between homes and networks.
"""

NO_PACKET_TELLS = (
    # Seen beyond the host only, where the canary sends nothing.
    'host: no `oifname "ru#*" ct state established,related accept` in forward',
    'host: no `iifname "ru#*" masquerade` in postrouting',
    "host: ipv4.ip_forward = 0",
    # Datagrams of the proxy, which the canary would need a socket for.
    "*: no `ip daddr 172.16.0.1 meta l4proto udp socket wildcard 0 accept` in machine_input",
    # Nothing is sent to a real Machine that it could hear.
    "*: no route fdaa:0:#:0:2:0:1:0/112 dev v0#000000000001",
    "*: no route 172.16.0.2 dev v0#000000000001",
    # Without a default route there is nowhere to leave to, and no IPv4 to forward.
    "closed: no route unreachable fdaa::/16",
    "closed: no route unreachable 172.16.0.0/12",
    "closed: no route unreachable 169.254.0.0/16",
    "closed: ipv4.ip_forward = 0",
)
"""Damage that only the comparison with the design shows."""


@isolated
async def test_a_healthy_world_gives_no_alarm(tmp_path: Path) -> None:
    """Networks with and without egress: much is tried, nothing is found, nothing is left."""
    async with (
        outside_world(tmp_path / "outside", ip6=True),
        canary_world(tmp_path / "home", True, False, True) as world,
    ):
        before = await world.driver.observe()
        for _ in range(3):
            assert () == await world.findings()
        probed = await world.probe()
        assert {1, 2, 3} == {outcome.attempt.network for outcome in probed.outcomes}
        assert sum(not outcome.wanted for outcome in probed.outcomes) > 300
        assert sum(outcome.wanted for outcome in probed.outcomes) > 60
        assert before == await world.driver.observe()


@isolated
async def test_no_alarm_while_machines_come_and_go(tmp_path: Path) -> None:
    """Machines that are attached and detached all the time are no drift and change no outcome."""
    async with (
        outside_world(tmp_path / "outside", ip6=False),
        canary_world(tmp_path / "home", True, False) as world,
    ):
        done = asyncio.Event()

        async def bustle(network: int) -> None:
            while not done.is_set():
                one = await attached(world.driver, 7, network, egress=network == 1)
                await world.driver.detach(one.attachment.machine_id)

        async with asyncio.TaskGroup() as group:
            for network in (1, 2):
                group.create_task(bustle(network))
            found = [await world.findings() for _ in range(5)]
            done.set()
        assert [()] * 5 == found


@pytest.mark.parametrize(("looks", "drifts"), [(1, 1), (3, 0)])
def test_a_half_made_link_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int, drifts: int
) -> None:
    """A Machine caught while it is being attached is drift at one look, and none at the next."""
    armed, parked, release = threading.Event(), threading.Event(), threading.Event()

    def on_step(step: str) -> None:
        if step == "machine link noted" and armed.is_set():
            armed.clear()
            parked.set()
            assert release.wait(10)

    def look(ground: Ground, subjects: Sequence[Subject]) -> list[Drift]:
        found = survey(ground, subjects)
        release.set()
        return found

    @isolated
    async def body() -> None:
        async with canary_world(tmp_path / "home", False, looks=looks, on_step=on_step) as world:
            armed.set()
            async with asyncio.TaskGroup() as group:
                group.create_task(attached(world.driver, 7))
                assert await asyncio.to_thread(parked.wait, 10)
                found = await world.findings()
            assert [Kind.DRIFT] * drifts == [finding.kind for finding in found]
            assert () == await world.findings()

    monkeypatch.setattr(netns, "survey", look)
    body()


async def damage(world: CanaryWorld, network: int, where: str) -> list[Mutation]:
    """All that can be taken from a network's router."""
    netns = world.router(network)
    machine = world.machines[network - 1]
    link = f"v{machine.attachment.machine_id}"
    made = await rules_away(where, netns, "roost")
    made += rules_added(where, netns, "roost", "prerouting", "from_machine", "machine_input")
    made += rules_added(where, netns, "roost", "input", "forward")
    routes = [
        f"local fdaa:0:{network:x}:0:1::/80 table local",
        "unreachable fdaa::/16",
        "unreachable 172.16.0.0/12",
        "unreachable 169.254.0.0/16",
        f"{machine.attachment.ip6.network} dev {link}",
        f"{machine.ip4} dev {link}",
    ]
    if machine.attachment.router.egress:
        routes += ["default", "::/0"]
        made.append(Mutation(f"{where}: no uplink", netns, (("ip", "link", "del", "uplink"),)))
        down = ("ip", "link", "set", "uplink", "down")
        made.append(Mutation(f"{where}: uplink down", netns, (down,)))
    made += routes_away(where, netns, *routes)
    addresses = ("fdaa::3/128", f"fdaa:0:{network:x}::3/128", "172.16.0.1/32")
    made += addresses_away(where, netns, *addresses)
    made += settings_turned(
        where,
        netns,
        ipv4__ip_forward="0",
        ipv6__conf__all__forwarding="0",
        ipv6__conf__default__addr_gen_mode="0",
    )
    return made


async def damage_to_the_host(table: str) -> list[Mutation]:
    """All that can be taken from the host's side."""
    made = await rules_away("host", HERE, table)
    made += rules_added("host", HERE, table, "input", "forward")
    return made + settings_turned("host", HERE, ipv4__ip_forward="0")


async def mended(world: CanaryWorld) -> None:
    """What a restarted daemon does: everything is put in place again."""
    again = NetnsNetwork(world.home)
    await again.setup()
    for machine in world.machines:
        router = machine.attachment.router
        await again.ensure_router(router_of(router.network_id, egress=router.egress))
        await again.attach(machine.attachment)


async def everything_noticed(world: CanaryWorld, table: str) -> dict[str, frozenset[Kind]]:
    """Each piece of damage made in turn, and what told of it.

    Half of what can happen to networks with egress happens to network 1, the other half meanwhile
    to network 3; to those without, to 2 and 4.
    """
    seen: dict[str, frozenset[Kind]] = {}
    for mutation in await damage_to_the_host(table):
        await mutation.make()
        seen[general(mutation.name)] = frozenset(each.kind for each in await world.findings())
        await mended(world)
    halves = [
        (await damage(world, network, where))[half::2]
        for network, (where, half) in enumerate(
            (("egress", 0), ("closed", 0), ("egress", 1), ("closed", 1)), start=1
        )
    ]
    for mutations in zip_longest(*halves):
        for mutation in filter(None, mutations):
            await mutation.make()
        found = await world.findings()
        for network, mutation in enumerate(mutations, start=1):
            if mutation is not None:
                kinds = frozenset(each.kind for each in found if each.network == network)
                seen[general(mutation.name)] = kinds
        await mended(world)
    return seen


def general(name: str) -> str:
    """The name of damage, without what differs between homes and networks."""
    return re.sub(r"(?<=\bru)[0-9a-f]{5}|(?<=fdaa:0:)[1-4]|(?<=\bv0)[1-4]", "#", name)


def spelled_out(patterns: Sequence[str]) -> set[str]:
    """The names of damage that patterns stand for."""
    wheres = ("egress", "closed")
    return {
        pattern.replace("*", where, 1) if pattern.startswith("*") else pattern
        for pattern in patterns
        for where in wheres
    }


@isolated
async def test_every_piece_of_damage_is_noticed(tmp_path: Path) -> None:
    """Each rule, route, address and setting taken away, and each filter opened, gives an alarm;
    what opens a way is shown by a packet that took it.
    """
    tag = home_tag(tmp_path / "home")
    async with (
        outside_world(tmp_path / "outside", ip6=True),
        canary_world(
            tmp_path / "home", True, False, True, False, patience=0.1, pause=0.0, looks=1
        ) as world,
    ):
        seen = await everything_noticed(world, host_table(tag))
        assert () == await world.findings(), "all is mended"
    by_packets = {name for name, kinds in seen.items() if kinds - {Kind.DRIFT}}
    breached = {name for name, kinds in seen.items() if Kind.BREACH in kinds}
    sys.stdout.write(
        f"{len(seen)} pieces of damage, {len(by_packets)} shown by packets, "
        f"{len(breached)} of them as breaches\n"
    )
    assert [] == [name for name, kinds in seen.items() if not kinds]
    assert set() == spelled_out(ISOLATION) - breached
    assert set(seen) - by_packets == spelled_out(NO_PACKET_TELLS)


def sentences(found: Sequence[Finding], kind: Kind, *, network: int = 1) -> list[str]:
    """The sentences of one kind about one network."""
    return [
        finding.sentence for finding in found if finding.kind is kind and finding.network == network
    ]


@isolated
async def test_a_leaked_name_is_a_breach(tmp_path: Path) -> None:
    """A DNS that knows another network's app, and one that does not answer at all."""
    async with canary_world(tmp_path / "home", False, False) as world:
        names = (Name("mine.internal", exists=False), Name("gone.internal", exists=True))
        first = replace(world.task.subjects[0], names=names)
        task = replace(world.task, subjects=(first, world.task.subjects[1]))
        found = await replace(world, task=task).findings()
        (breach,) = sentences(found, Kind.BREACH)
        assert "could learn a name of another network (dns to mine.internal)" in breach
        (blind,) = sentences(found, Kind.BLIND)
        assert "gone.internal" in blind


@contextmanager
def process_in(netns: Path, *command: str) -> Iterator[int]:
    """A sleeping process in a network namespace; its pid."""
    program = "echo ready; exec sleep 1000"
    argv = ["nsenter", f"--net={netns}", *command, "sh", "-c", program]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"ready\n" == process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


@isolated
async def test_a_file_of_roosts_in_a_machine_is_a_breach(tmp_path: Path) -> None:
    """Seen by a process of a Machine: bound there, copied there; not: an empty root, links of the
    Machine's own that point at ours, somebody else's process.
    """
    async with canary_world(tmp_path / "home", False) as world:
        machine = world.machines[0]
        world.home.token.write_text("a token")

        async def seen(pid: int) -> list[str]:
            inhabitant = Inhabitant(machine.attachment.machine_id, 1, pid)
            task = replace(world.task, inhabitants=(inhabitant,))
            return sentences(await replace(world, task=task).findings(), Kind.BREACH)

        with process_in(machine.netns) as pid:
            (breach,) = await seen(pid)
            assert f"(file to {world.home.token}): it is there" in breach
        assert [] == await seen(os.getpid()), "it lives in no Machine's network"
        root = tmp_path / "root"
        for folder in ("bin", "lib", "lib64", "usr", str(world.home.root).lstrip("/")):
            (root / folder).mkdir(parents=True)
        binds = [f"mount --rbind /{name} {root}/{name}" for name in ("bin", "lib", "lib64", "usr")]
        script = " && ".join([*binds, f"exec chroot {root} sh -c 'echo ready; exec sleep 1000'"])
        inside = root / str(world.home.token).lstrip("/")

        async def seen_below() -> int:
            with process_in(machine.netns, "unshare", "--mount", "sh", "-c", script, "--") as pid:
                return len(await seen(pid))

        assert 0 == await seen_below()
        inside.symlink_to(world.home.token)
        assert 0 == await seen_below()
        inside.unlink()
        inside.write_text("another")
        assert 0 == await seen_below()
        inside.write_text("a token")
        assert 1 == await seen_below()
        inside.unlink()
        (root / "app").mkdir()
        script = f"mount --bind {world.home.root} {root}/app && {script}"
        assert 1 == await seen_below(), "bound at another path"


@isolated
async def test_a_network_that_cannot_be_entered_is_blind(tmp_path: Path) -> None:
    """One network's trouble is told, and the others are probed all the same."""
    async with canary_world(tmp_path / "home", False, False) as world:
        done = await run_inside(
            world.router(1), ["ip", "address", "del", "172.16.0.1/32", "dev", "lo"]
        )
        assert 0 == done.returncode
        probed = await world.probe()
        assert {2} == {item.attempt.network for item in probed.outcomes if not item.wanted}
        (blind,) = sentences(await world.findings(), Kind.BLIND)
        assert "it was not possible to attach a probe point" in blind
        assert {machine.attachment.machine_id for machine in world.machines} == set(
            (await world.driver.observe()).machines
        )


@isolated
async def test_a_way_out_that_should_not_be_there_is_drift(tmp_path: Path) -> None:
    """A router with egress of a network that is to have none, before attaching mends it."""
    async with (
        outside_world(tmp_path / "outside", ip6=False),
        canary_world(tmp_path / "home", True) as world,
    ):
        closed = replace(world.task.subjects[0], router=router_of(1, egress=False))
        now = replace(world, task=replace(world.task, subjects=(closed,)))
        drifts = sentences(await now.findings(), Kind.DRIFT)
        assert 2 == len(drifts)
        assert "link uplink of group 2" in drifts[0]
        assert () == await now.findings()


@isolated
async def test_a_killed_run_leaves_what_can_be_taken_away(tmp_path: Path) -> None:
    """Probe points of a killed process are observed, and the next run takes them away."""
    async with canary_world(tmp_path / "home", False) as world:
        for point in points_of(world.task.subjects[0]):
            await world.driver.attach(point)
        again = NetnsNetwork(world.home)
        await again.setup()
        assert 3 == len((await again.observe()).machines)
        with pytest.raises(PreconditionError):
            await again.remove_router(1)
        assert () == await world.findings()
        assert 1 == len((await again.observe()).machines)


_ROOTLESS = """
import asyncio, sys
from pathlib import Path
from tests.support.canary_world import canary_world

async def main():
    async with canary_world(Path(sys.argv[1]), True, True) as world:
        print(len((await world.probe()).outcomes) > 200, await world.findings())

asyncio.run(main())
"""


def test_without_root(tmp_path: Path) -> None:
    """In an own user, mount and network namespace it tries all but the way out."""
    done = run_without_root(_ROOTLESS, str(tmp_path))
    assert (0, b"True ()\n") == (done.returncode, done.stdout), done.stderr
