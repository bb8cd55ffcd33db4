"""Names and uplink addresses."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import InvalidError, UnavailableError
from roost.network import names

TAG = names.home_tag(Path("/var/lib/roost"))
NETWORK_IDS = st.integers(min_value=1, max_value=2**32 - 1)
POOL = IPv4Network("100.64.0.0/10")


@given(st.text("0123456789abcdef", min_size=14, max_size=14))
def test_link_names_fit_and_differ(machine_id: str) -> None:
    """A link's name has at most 15 characters and holds the whole Machine id."""
    assert len(names.machine_link(machine_id)) <= 15
    assert names.machine_link(machine_id).endswith(machine_id)


@given(NETWORK_IDS)
def test_uplink_names_fit(network_id: int) -> None:
    """An uplink's name has at most 15 characters and begins as its home's rules expect."""
    name = names.uplink_host_link(TAG, network_id)
    assert len(name) <= 15
    assert name.startswith(names.uplink_prefix(TAG))
    assert name.startswith(names.UPLINK_ANY_ROOST)


@given(NETWORK_IDS, st.integers(min_value=0, max_value=64))
def test_uplink_addresses_lie_in_the_pool_and_are_read_back(network_id: int, attempt: int) -> None:
    """Both ends are the two addresses of one /31 of the pool, and the note gives them again."""
    pair = names.uplink_pair(TAG, network_id, attempt)
    addresses = names.uplink_addresses(TAG, network_id, pair)
    assert addresses.host4 in POOL
    assert addresses.router4 == IPv4Network(f"{addresses.host4}/31")[1]
    assert pair == names.pair_of(str(addresses.host4))
    assert addresses.host6.is_private
    assert addresses.host6 != addresses.router6


@given(NETWORK_IDS, NETWORK_IDS)
def test_uplink_ipv6_addresses_differ(one: int, other: int) -> None:
    """Two networks of a home never share an IPv6 uplink address."""
    if one != other:
        assert not {*_six(one)} & {*_six(other)}


def _six(network_id: int) -> tuple[object, object]:
    addresses = names.uplink_addresses(TAG, network_id, 0)
    return addresses.host6, addresses.router6


@pytest.mark.parametrize("note", ["", "eth0", "10.0.0.2", "100.64.0.1", "240.0.0.2"])
def test_foreign_notes(note: str) -> None:
    """A note that is no host's end of ours is refused."""
    with pytest.raises(UnavailableError, match="is no address of ours"):
        names.pair_of(note)


def test_macs_are_stable_and_local() -> None:
    """A link-layer address depends on its seed alone, and is unicast and locally administered."""
    assert names.mac(b"x") == names.mac(b"x") != names.mac(b"y")
    assert (6, 0x02) == (len(names.mac(b"x")), names.mac(b"x")[0] & 0x03)


@pytest.mark.parametrize("bad", ["", "../x", "A", "a" * 15, "a/b", "a\n"])
def test_no_file_for_strange_ids(bad: str) -> None:
    """Only lower-case letters and digits become part of a path."""
    with pytest.raises(InvalidError):
        names.machine_file(bad)
