"""The address plan."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import InvalidError
from roost.model import addresses as plan

NUMBERS = st.integers(1, (1 << 32) - 1)
MACHINES = st.integers(1, plan.MAX_MACHINE)
HOSTS = st.integers(plan.FIRST_HOST, (1 << 32) - 1)


def test_documented_forms() -> None:
    """The addresses look as the design's table says."""
    assert "fdaa:0:1::/48" == str(plan.network_prefix(1))
    assert "fdaa:2:45b::/48" == str(plan.network_prefix(0x2045B))
    assert "fdaa:0:1:0:1::7" == str(plan.flycast_address(1, 7))
    assert "fdaa:0:1::3" == str(plan.network_dns(1))
    assert "fdaa:0:1:0:2:0:5:2/112" == str(plan.machine_prefix(1, 2, 5))
    assert IPv4Address("172.16.0.6") == plan.machine_ipv4(5)


@given(NUMBERS, NUMBERS, HOSTS, MACHINES)
def test_machines_never_lie_among_flycast_addresses(
    network: int, flycast: int, host: int, machine: int
) -> None:
    """No Machine's /112 overlaps the Flycast /80 of its network, and both lie in the /48."""
    prefix = plan.network_prefix(network)
    mine = plan.machine_prefix(network, host, machine)
    assert plan.flycast_address(network, flycast) in plan.flycast_prefix(network)
    assert plan.flycast_prefix(network).subnet_of(prefix)
    assert mine.network.subnet_of(prefix)
    assert not mine.network.overlaps(plan.flycast_prefix(network))


@given(st.tuples(NUMBERS, HOSTS, MACHINES), st.tuples(NUMBERS, HOSTS, MACHINES))
def test_different_numbers_give_different_addresses(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    """The plan is one to one."""
    same = plan.machine_prefix(*one) == plan.machine_prefix(*other)
    assert (one == other) == same


@given(NUMBERS)
def test_dns_is_no_machine_and_no_flycast_address(network: int) -> None:
    """The DNS address of a network collides with nothing that is given out."""
    assert plan.network_dns(network) not in plan.flycast_prefix(network)
    assert plan.network_dns(network) in plan.network_prefix(network)


@pytest.mark.parametrize("number", [0, -1, 1 << 32])
def test_numbers_outside_are_refused(number: int) -> None:
    """A number that does not fit the field is an error, never a wrong address."""
    with pytest.raises(InvalidError):
        plan.network_prefix(number)
    with pytest.raises(InvalidError):
        plan.flycast_address(1, number)


def test_flycast_host_field_is_no_host() -> None:
    """Host number 1 would make Flycast addresses."""
    with pytest.raises(InvalidError):
        plan.machine_prefix(1, 1, 1)


def test_ipv4_pool_ends() -> None:
    """The last index is inside 172.16.0.0/12, the next is refused, the gateway is not given out."""
    last = plan.machine_ipv4(plan.MAX_IPV4_INDEX)
    assert last < IPv4Address("172.31.255.255")
    assert plan.machine_ipv4(1) > plan.GATEWAY4
    with pytest.raises(InvalidError):
        plan.machine_ipv4(plan.MAX_IPV4_INDEX + 1)
    assert IPv6Address("fdaa::3") == plan.DNS_EVERYWHERE


def test_probe_points_have_what_no_machine_can_have() -> None:
    """The numbers of probe points come after the last Machine's, and no Machine gets them."""
    points = range(plan.PROBE_POINTS)
    assert ["fdaa:0:1:0:2:ffff:fffe:2", "fdaa:0:1:0:2:ffff:ffff:2"] == [
        str(plan.probe_prefix(1, 2, point).ip) for point in points
    ]
    with pytest.raises(InvalidError):
        plan.machine_prefix(1, 2, plan.MAX_MACHINE + 1)
    last = plan.machine_ipv4(plan.MAX_IPV4_INDEX)
    assert [last + 1, last + 2] == [plan.probe_ipv4(point) for point in points]
    assert last + 2 < IPv4Address("172.31.255.255")
    for outside in (-1, plan.PROBE_POINTS):
        with pytest.raises(InvalidError):
            plan.probe_prefix(1, 2, outside)
        with pytest.raises(InvalidError):
            plan.probe_ipv4(outside)


@given(NUMBERS, NUMBERS)
def test_the_probed_flycast_address_is_nobodys(network: int, number: int) -> None:
    """It lies in the network's Flycast prefix and no number of an app leads to it."""
    assert plan.probe_flycast(network) in plan.flycast_prefix(network)
    assert plan.probe_flycast(network) != plan.flycast_address(network, number)
