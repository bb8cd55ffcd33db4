"""Names and ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import InvalidError
from roost.model import ids


@pytest.mark.parametrize("name", ["a", "my-app", "a1", "x" * 63, "1up"])
def test_good_app_names(name: str) -> None:
    """One DNS label is an app name."""
    assert name == ids.app_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a.b", "x" * 64, "é", "a\n"])
def test_bad_app_names(name: str) -> None:
    """Everything else is refused."""
    with pytest.raises(InvalidError):
        ids.app_name(name)


def test_network_names() -> None:
    """Letters first, case-insensitive; the empty name is the default network."""
    assert "default" == ids.network_name("")
    assert "tenant-7" == ids.network_name("Tenant-7")
    for bad in ("7up", "a_b", "a.b", "x" * 64, "a b"):
        with pytest.raises(InvalidError):
            ids.network_name(bad)


@given(st.integers(0, (1 << 48) - 1), st.integers(0, (1 << 48) - 1), st.binary(min_size=10))
def test_ulids_sort_by_time(early: int, late: int, random: bytes) -> None:
    """A ULID has 26 characters and sorts as its time does."""
    first, second = ids.ulid(early, random), ids.ulid(late, random)
    assert 26 == len(first)
    assert (early < late) == (first < second)


def test_machine_ids_have_fourteen_characters() -> None:
    """A Machine id looks like Fly's."""
    assert "01020304050607" == ids.machine_id(bytes(range(1, 11)))


@given(st.integers(1, (1 << 32) - 1), st.integers(0, 9), st.binary(min_size=7, max_size=7))
def test_probe_points_have_ids_of_their_own(network: int, point: int, random: bytes) -> None:
    """A probe point's id is as long as a Machine's, names its network, and is no Machine's."""
    probe = ids.probe_id(network, point)
    assert 14 == len(probe)
    assert ids.is_probe(probe)
    assert not ids.is_probe(ids.machine_id(random))
    assert (point, network) == (int(probe[5]), int(probe[6:], 16))
