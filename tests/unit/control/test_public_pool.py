"""The operator's public addresses, as given on the command line."""

from __future__ import annotations

import pytest

from roost.control.public_pool import parse_pool
from roost.errors import InvalidError, PreconditionError
from roost.model.records import AddressType


def test_pools_of_both_families() -> None:
    """Each family is kept apart; a domain loses case and final dot."""
    pool = parse_pool(["203.0.113.8/29", "2001:db8:7::/64", "198.51.100.1/32"], "Example.COM.")
    assert ["203.0.113.8/29", "198.51.100.1/32"] == list(map(str, pool.v4))
    assert ["2001:db8:7::/64"] == list(map(str, pool.v6))
    assert "web.example.com" == pool.host("web")


@pytest.mark.parametrize(
    ("texts", "domain", "sentence"),
    [
        (["203.0.113.9/29"], "", "has host bits set"),
        (["here"], "", "is not a network"),
        (["224.0.0.0/8"], "", "cannot be given"),
        (["fe80::/64"], "", "cannot be given"),
        (["203.0.113.0/24", "203.0.113.8/29"], "", "overlap"),
        ([], "exa mple.com", "is not a DNS name"),
        ([], "-a.com", "is not a DNS name"),
        ([], "a..com", "is not a DNS name"),
        ([], ".".join(["a" * 60] * 4), "is not a DNS name"),
    ],
)
def test_impossible_pools(texts: list[str], domain: str, sentence: str) -> None:
    """Each is refused with a sentence that names the flag."""
    with pytest.raises(InvalidError, match=sentence) as refused:
        parse_pool(texts, domain)
    assert "--public-" in refused.value.message


def test_a_single_address_can_be_shared_or_nothing_else() -> None:
    """The first IPv4 address is kept for sharing, so a pool of one has no dedicated one."""
    pool = parse_pool(["198.51.100.1/32"], "example.com")
    assert "198.51.100.1" == str(pool.choose(AddressType.SHARED_V4, set()))
    with pytest.raises(PreconditionError, match="all public IPv4"):
        pool.choose(AddressType.V4, set())


def test_a_large_pool_is_not_walked_to_its_end() -> None:
    """A /64 gives its first free address at once, and gives up after a bounded walk."""
    pool = parse_pool(["2001:db8:7::/64"], "")
    assert "2001:db8:7::1" == str(pool.choose(AddressType.V6, set()))
    assert "2001:db8:7::2" == str(pool.choose(AddressType.V6, {"2001:db8:7::1"}))
