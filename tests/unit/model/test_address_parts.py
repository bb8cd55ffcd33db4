"""Addresses read back into the numbers they were made from."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.model import addresses as plan
from roost.model.address_parts import Parts, Role, parts_of

NUMBERS = st.integers(1, (1 << 32) - 1)
MACHINES = st.integers(1, plan.MAX_MACHINE)
HOSTS = st.integers(plan.FIRST_HOST, (1 << 32) - 1)


@given(NUMBERS, NUMBERS)
def test_flycast_addresses_read_back(network: int, number: int) -> None:
    """A Flycast address tells its network and number."""
    wanted = Parts(role=Role.FLYCAST, network=network, number=number)
    assert wanted == parts_of(plan.flycast_address(network, number))


@given(NUMBERS, HOSTS, MACHINES, st.integers(0, 0xFFFF))
def test_machine_addresses_read_back(network: int, host: int, machine: int, low: int) -> None:
    """Every address of a Machine's /112 tells its network, host and number."""
    prefix = plan.machine_prefix(network, host, machine).network
    wanted = Parts(role=Role.MACHINE, network=network, host=host, number=machine)
    assert wanted == parts_of(prefix[low])


@given(NUMBERS)
def test_dns_addresses_read_back(network: int) -> None:
    """A network's DNS address is its own, the common one is nobody's."""
    assert Parts(role=Role.DNS, network=network) == parts_of(plan.network_dns(network))
    assert Parts(role=Role.DNS, network=None) == parts_of(plan.DNS_EVERYWHERE)


@given(st.integers(0, (1 << 128) - 1).map(IPv6Address))
def test_what_is_read_was_given_out(address: IPv6Address) -> None:
    """Whatever reads as something is what the plan makes of the same numbers."""
    parts = parts_of(address)
    if parts is None or parts.network is None:
        return
    match parts.role:
        case Role.FLYCAST:
            assert address == plan.flycast_address(parts.network, parts.number)
        case Role.MACHINE:
            mine = plan.machine_prefix(parts.network, parts.host, parts.number)
            assert address in mine.network
        case Role.DNS:
            assert address == plan.network_dns(parts.network)


@pytest.mark.parametrize(
    "text",
    [
        "::",
        "::1",
        "2001:db8::1",
        "fdab:0:1:0:1::1",
        "fdaa::1",
        "fdaa:0:1::4",
        "fdaa:0:1::",
        "fdaa:0:1:0:1::",
        "fdaa:0:1:0:1:1::",
        "fdaa:0:1:0:2::2",
    ],
)
def test_what_is_never_given_out(text: str) -> None:
    """Gaps of the plan and strangers read as nothing."""
    assert parts_of(IPv6Address(text)) is None
