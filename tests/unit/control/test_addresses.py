"""An app's addresses: where they land, what is refused, and that they are gone when released."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from roost.control import address_warnings
from roost.control.address_request import AddressRequest
from roost.control.addresses import MAX_ADDRESSES
from roost.control.machine_requests import UpdateMachine
from roost.control.public_pool import PublicPool
from roost.control.service import Control
from roost.errors import ConflictError, InvalidError, NotFoundError, PreconditionError, RoostError
from roost.model.machine_config import MachineConfig
from roost.model.records import Address, AddressType, App
from tests.support.control_bench import Bench, with_bench

WEB = {"internal_port": 8080, "ports": [{"port": 80}, {"port": 443}]}
RANGE = {"internal_port": 9000, "ports": [{"start_port": 5000, "end_port": 5010}]}


def sentences(bench: Bench, address: Address) -> list[str]:
    control = bench.control
    app = control.apps.get(address.app)
    return address_warnings.about_address(bench.store, control.networks, app, address)


def test_addresses_land_where_fly_puts_them(tmp_path: Path) -> None:
    """Without a network on the default one, also for an app elsewhere; else where named."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web", network="own")
        addresses = bench.control.addresses
        first = await addresses.allocate("web")
        second = await addresses.allocate("web", AddressRequest(network="own"))
        assert (first.ip, first.network) == ("fdaa:0:1:0:1::1", "default")
        assert (second.ip, second.network) == ("fdaa:0:2:0:1::1", "own")
        assert [a.ip for a in addresses.list("web")] == [first.ip, second.ip]
        assert any("no Machine with a service" in s for s in sentences(bench, first))
        assert any("not from the app's own network 'own'" in s for s in sentences(bench, first))

    with_bench(tmp_path, body)


def test_an_app_with_services_on_its_own_network_has_no_warnings(tmp_path: Path) -> None:
    """Nothing to say about the usual case."""

    async def body(bench: Bench) -> None:
        await bench.machine(services=[WEB])
        assert [] == sentences(bench, await bench.control.addresses.allocate("web"))

    with_bench(tmp_path, body)


def test_released_numbers_are_not_used_again(tmp_path: Path) -> None:
    """A second allocation is another address, also after a release of the first."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        addresses = bench.control.addresses
        first = await addresses.allocate("web")
        await addresses.release("web", first.ip.upper())
        assert (await addresses.allocate("web")).ip == "fdaa:0:1:0:1::2"
        with pytest.raises(NotFoundError, match="has no address"):
            await addresses.release("web", first.ip)
        with pytest.raises(InvalidError, match="not an IP address"):
            await addresses.release("web", "web")

    with_bench(tmp_path, body)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (AddressRequest(type=AddressType.V4), "no public IPv4 addresses"),
        (AddressRequest(type=AddressType.V6), "no public IPv6 addresses"),
        (AddressRequest(type=AddressType.SHARED_V4), "no public IPv4 addresses"),
        (AddressRequest(type=AddressType.V6, network="own"), "has no network"),
        (AddressRequest(network="typo"), "network 'typo'"),
        (AddressRequest(network="9lives"), "'9lives' is not valid"),
        (AddressRequest(org="acme"), "organization 'acme'"),
        (AddressRequest(ports=(81,)), "no service on port 81"),
        (AddressRequest(ports=(80, 4999)), "no service on port 4999"),
        (AddressRequest(ports=tuple(range(1, 66))), "at most 64 ports"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_impossible_addresses(tmp_path: Path, asked: AddressRequest, sentence: str) -> None:
    """Each is refused with its own sentence, and nothing is allocated."""

    async def body(bench: Bench) -> None:
        await bench.machine(services=[WEB, RANGE])
        with pytest.raises(RoostError, match=sentence):
            await bench.control.addresses.allocate("web", asked)
        assert bench.control.addresses.list("web") == []

    with_bench(tmp_path, body)


def test_an_address_of_another_app_is_not_released(tmp_path: Path) -> None:
    """Only its own app gives an address back."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        await bench.control.apps.create("other")
        made = await bench.control.addresses.allocate("web")
        with pytest.raises(NotFoundError, match='app "other" has no address'):
            await bench.control.addresses.release("other", made.ip)
        assert [made] == bench.control.addresses.list("web")

    with_bench(tmp_path, body)


def test_chosen_ports_are_kept_in_order(tmp_path: Path) -> None:
    """Ports are those of the app's services, ranges included, each once."""

    async def body(bench: Bench) -> None:
        await bench.machine(services=[WEB, RANGE])
        request = AddressRequest(ports=(5005, 80, 80))
        assert (80, 5005) == (await bench.control.addresses.allocate("web", request)).ports

    with_bench(tmp_path, body)


def test_a_release_tells_how_long_open_connections_may_go_on(tmp_path: Path) -> None:
    """The app carries the longest kill_timeout of its Machines from the release on."""

    async def body(bench: Bench) -> None:
        await bench.machine(stop_config={"timeout": "7s"})
        await bench.machine(stop_config={"timeout": "2m"})
        await bench.machine()
        made = await bench.control.addresses.allocate("web")
        assert 5000 == bench.control.apps.get("web").drain_ms
        await bench.control.addresses.release("web", made.ip)
        assert 120_000 == bench.control.apps.get("web").drain_ms

    with_bench(tmp_path, body)


def with_pool(bench: Bench, pool: PublicPool) -> Control:
    """The bench's control with public addresses to give."""
    return Control(replace(bench.control.context, public=pool))


POOL = PublicPool(
    v4=(IPv4Network("198.51.100.8/30"),),
    v6=(IPv6Network("2001:db8:7::/126"),),
    domain="example.com",
)


def test_public_addresses_come_from_the_pool(tmp_path: Path) -> None:
    """Dedicated ones are the lowest free, the first IPv4 is the shared one; used up is said."""

    async def body(bench: Bench) -> None:
        control = with_pool(bench, POOL)
        await control.apps.create("web")

        async def give(kind: AddressType, app: str = "web") -> str:
            return (await control.addresses.allocate(app, AddressRequest(type=kind))).ip

        assert "198.51.100.9" == await give(AddressType.V4)
        assert "198.51.100.10" == await give(AddressType.V4)
        assert "2001:db8:7::1" == await give(AddressType.V6)
        assert "198.51.100.8" == await give(AddressType.SHARED_V4)
        with pytest.raises(ConflictError, match="has the shared address"):
            await give(AddressType.SHARED_V4)
        await control.apps.create("api")
        assert "198.51.100.8" == await give(AddressType.SHARED_V4, "api")
        assert "198.51.100.11" == await give(AddressType.V4, "api")
        with pytest.raises(PreconditionError, match="all public IPv4 addresses"):
            await give(AddressType.V4)
        await control.addresses.release("api", "198.51.100.11")
        assert "198.51.100.11" == await give(AddressType.V4)

    with_bench(tmp_path, body)


WIDE = {"internal_port": 9000, "ports": [{"start_port": 5000, "end_port": 5256}]}
HALVES = [
    {"internal_port": 9000, "protocol": protocol, "ports": [{"start_port": 1000, "end_port": 1127}]}
    for protocol in ("tcp", "udp")
]


@pytest.mark.parametrize("kind", [AddressType.V4, AddressType.V6, AddressType.SHARED_V4])
def test_a_range_outside_is_small(tmp_path: Path, kind: AddressType) -> None:
    """An app with more ports in ranges gets a public address only for chosen ports, and nothing is
    allocated otherwise.
    """

    async def body(bench: Bench) -> None:
        addresses = with_pool(bench, POOL).addresses
        await bench.machine(services=[WIDE])
        with pytest.raises(InvalidError, match=r"have 257 ports, .* 256 together") as refused:
            await addresses.allocate("web", AddressRequest(type=kind))
        assert "--service" in str(refused.value.hint)
        assert addresses.list("web") == []
        await addresses.allocate("web")
        made = await addresses.allocate("web", AddressRequest(type=kind, ports=(5000, 5256)))
        assert made.type is kind

    with_bench(tmp_path, body)


def test_a_range_outside_stays_small(tmp_path: Path) -> None:
    """Machines of an app that is reached from outside cannot have more, be they new or changed;
    single ports are not counted, and ranges of 256 ports are fine.
    """

    async def body(bench: Bench) -> None:
        control = with_pool(bench, POOL)
        await control.apps.create("web")
        address = await control.addresses.allocate("web", AddressRequest(type=AddressType.V4))
        with pytest.raises(InvalidError, match=f"public address {address.ip}"):
            await bench.machine(services=[WIDE])
        machine = await bench.machine(services=[*HALVES, WEB])
        config = MachineConfig.model_validate({"image": "nginx", "services": [WIDE]})
        with pytest.raises(InvalidError, match="have 257 ports"):
            await control.machines.update("web", machine.id, UpdateMachine(config=config))
        await control.addresses.release("web", address.ip)
        await control.machines.update("web", machine.id, UpdateMachine(config=config))

    with_bench(tmp_path, body)


def test_a_shared_address_is_released_for_its_app_alone(tmp_path: Path) -> None:
    """Another app's use of the shared address goes on."""

    async def body(bench: Bench) -> None:
        control = with_pool(bench, POOL)
        for app in ("web", "api"):
            await control.apps.create(app)
            await control.addresses.allocate(app, AddressRequest(type=AddressType.SHARED_V4))
        await control.addresses.release("web", "198.51.100.8")
        assert [] == control.addresses.list("web")
        assert ["198.51.100.8"] == [one.ip for one in control.addresses.list("api")]

    with_bench(tmp_path, body)


def test_a_pool_that_is_another_one_than_before(tmp_path: Path) -> None:
    """What an app was given for itself is not shared, and what the pool lost is told."""

    async def body(bench: Bench) -> None:
        context = bench.control.context
        wide = PublicPool(v4=(IPv4Network("198.51.100.8/30"),), domain="example.com")
        control = Control(replace(context, public=wide))
        await control.apps.create("web")
        await control.apps.create("db")
        own = await control.addresses.allocate("web", AddressRequest(type=AddressType.V4))
        assert control.addresses.outside_pool() == []
        narrow = replace(wide, v4=(IPv4Network(f"{own.ip}/32"),))
        control = Control(replace(context, public=narrow))
        assert control.addresses.outside_pool() == []
        with pytest.raises(PreconditionError, match=f"{own.ip}, belongs to app 'web'"):
            await control.addresses.allocate("db", AddressRequest(type=AddressType.SHARED_V4))
        other = replace(wide, v4=(IPv4Network("198.51.100.64/30"),))
        assert Control(replace(context, public=other)).addresses.outside_pool() == [own]
        assert bench.control.addresses.outside_pool() == [own]

    with_bench(tmp_path, body)


def test_an_app_has_a_bounded_number_of_addresses(tmp_path: Path) -> None:
    """Also when two are asked for at once, and by whichever way."""

    async def body(bench: Bench) -> None:
        control = bench.control
        await control.apps.create("web")
        await control.orgs.create("acme")
        await control.networks.ensure("acme", "")
        for _ in range(MAX_ADDRESSES - 1):
            await control.addresses.allocate("web")
        asked = await control.grants.ask("web", AddressRequest(org="acme"), actor="a")
        await control.addresses.allocate("web")
        full = "has 100 addresses already"
        with pytest.raises(PreconditionError, match=full):
            await control.addresses.allocate("web")
        with pytest.raises(PreconditionError, match=full):
            await control.grants.accept("acme", asked.id, actor="b")
        with pytest.raises(PreconditionError, match=full):
            await control.grants.give("web", AddressRequest(org="acme"), actor="b")
        assert len(control.addresses.list("web")) == MAX_ADDRESSES

    with_bench(tmp_path, body)


def test_sharing_needs_a_domain(tmp_path: Path) -> None:
    """Without a domain nothing could tell apps apart, and the setting is named."""

    async def body(bench: Bench) -> None:
        control = with_pool(bench, PublicPool(v4=POOL.v4))
        await control.apps.create("web")
        with pytest.raises(PreconditionError, match="no domain is set") as refused:
            await control.addresses.allocate("web", AddressRequest(type=AddressType.SHARED_V4))
        assert "--public-domain" in str(refused.value.hint)

    with_bench(tmp_path, body)


def test_a_private_app_with_a_public_address_is_warned_of(tmp_path: Path) -> None:
    """The sentence names the public address and how to release it; one kind alone is silent."""

    async def body(bench: Bench) -> None:
        control = with_pool(bench, POOL)
        await control.apps.create("web")
        listed = control.addresses.list
        await control.addresses.allocate("web")
        assert address_warnings.about_exposure(listed("web")) is None
        await control.addresses.allocate("web", AddressRequest(type=AddressType.V4))
        sentence = address_warnings.about_exposure(listed("web"))
        assert sentence is not None
        assert "roost ips release 198.51.100.9 -a web" in sentence

    with_bench(tmp_path, body)


def test_destroying_an_app_releases_what_it_had(tmp_path: Path) -> None:
    """No address of it is left, public ones neither."""

    async def body(bench: Bench) -> None:
        control = with_pool(bench, POOL)
        await control.apps.create("web")
        await control.addresses.allocate("web")
        await control.addresses.allocate("web", AddressRequest(type=AddressType.SHARED_V4))
        await control.apps.destroy("web")
        assert 0 == bench.store.count(Address) == bench.store.count(App)

    with_bench(tmp_path, body)
