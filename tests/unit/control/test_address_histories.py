"""No two things ever share an address, whatever was made and destroyed before.

Random histories over organizations, networks, apps, Machines, addresses and grants, through the
real services; after each step every address that anything has, or ever had, is looked at.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterator
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from roost.control.address_request import AddressRequest
from roost.control.machine_requests import CreateMachine
from roost.errors import RoostError
from roost.model.address_parts import Role, parts_of
from roost.model.addresses import machine_ipv4, machine_prefix, network_prefix
from roost.model.machine_config import MachineConfig
from roost.model.records import Address, App, Machine, Network
from tests.support.control_bench import Bench, make_bench

ORGS = ("personal", "acme", "zoo")
NETWORKS = ("", "prod", "lab")
CONFIG = MachineConfig(image="x")
OPS = ["give"] * 5 + ["release"] * 5 + ["app"] * 2 + ["machine"] * 3
OPS += ["destroy_machine", "destroy_app", "org", "end_org"]
STEP = st.tuples(st.sampled_from(OPS), st.integers(0, 11), st.integers(0, 2), st.integers(0, 2))

done: Counter[str] = Counter()
"""What was really done in all histories: a test of nothing would pass, too."""


class History:
    """A Roost to which anything happens; `ever` remembers who had an address first."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.control = bench.control
        self.ever: dict[str, str] = {}
        self.count = 0

    async def step(self, op: str, pick: int, org: int, network: int) -> None:
        """One thing happens, a second after the last; it may be refused."""
        self.bench.clock.forward(1)
        try:
            await self._work(op, pick, ORGS[org], NETWORKS[network])
            done[op] += 1
        except RoostError:
            done[f"{op} refused"] += 1
        self.check()

    def _work(self, op: str, pick: int, org: str, network: str) -> Coroutine[Any, Any, Any]:
        control = self.control
        apps = [stored.record.name for stored in self.bench.store.scan(App)] or ["none"]
        app = apps[pick % len(apps)]
        match op:
            case "org":
                return control.orgs.create(org)
            case "end_org":
                return control.org_ending.delete(org, actor="t")
            case "app":
                self.count += 1
                return control.apps.create(f"a{self.count}", org=org, network=network)
            case "destroy_app":
                return control.apps.destroy(app)
            case "machine":
                return control.machines.create(app, CreateMachine(config=CONFIG))
            case "destroy_machine":
                machines = [s.record for s in self.bench.store.scan(Machine)]
                chosen = machines[pick % len(machines)] if machines else None
                return control.machines.destroy(
                    chosen.app if chosen else "none", chosen.id if chosen else "0", force=True
                )
            case "release":
                found = [s.record for s in self.bench.store.scan(Address)]
                one = found[pick % len(found)] if found else None
                return control.addresses.release(
                    one.app if one else "none", one.ip if one else "::"
                )
            case _:
                owner = self.bench.store.get(App, app)
                request = AddressRequest(org=org, network=network)
                if owner is not None and owner.record.org == org:
                    return control.addresses.allocate(app, request)
                return control.grants.give(app, request, actor="t")

    def check(self) -> None:
        """Nothing has an address that anything else has, or had before; each reads back."""
        for address, owner in owned(self.bench):
            assert owner == self.ever.setdefault(address, owner), (address, owner)
        prefixes = {
            stored.record.id: network_prefix(stored.record.id)
            for stored in self.bench.store.scan(Network)
        }
        assert len(set(prefixes.values())) == len(prefixes)
        for stored in self.bench.store.scan(Address):
            ip, record = IPv6Address(stored.record.ip), stored.record
            parts = parts_of(ip)
            assert parts is not None
            assert (parts.role, parts.network) == (Role.FLYCAST, record.network_id)
            assert ip in prefixes[record.network_id]


def owned(bench: Bench) -> Iterator[tuple[str, str]]:
    """Every address that is in use, and by what."""
    for address in bench.store.scan(Address):
        yield address.record.ip, f"address {address.record.app} {address.record.created_at}"
    for machine in bench.store.scan(Machine):
        record = machine.record
        prefix = machine_prefix(record.network_id, record.host, record.number).network
        yield str(prefix), f"machine {record.id}"
        yield f"{record.network_id}/{machine_ipv4(record.ipv4)}", f"machine {record.id}"


async def live(steps: list[tuple[str, int, int, int]]) -> None:
    """One history from the first start on."""
    with tempfile.TemporaryDirectory() as folder:
        bench = await make_bench(Path(folder))
        history = History(bench)
        for org in ORGS[1:]:
            await history.step("org", 0, ORGS.index(org), 0)
        for number in range(6):
            await history.step("app", 0, number % 2, number // 2)
        for step in steps:
            await history.step(*step)
        await bench.store.close()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(STEP, min_size=20, max_size=60))
def histories(steps: list[tuple[str, int, int, int]]) -> None:
    """Many histories."""
    asyncio.run(live(steps))


def test_no_two_things_ever_share_an_address() -> None:
    """Over any history each address belongs to one thing for ever and reads back to it.

    Each kind of step was really made in some history.
    """
    histories()
    assert all(done[op] > 0 for op in OPS), done
