"""The rules' text: what must be in it, and what costs nothing when it is not needed."""

from __future__ import annotations

from pathlib import Path

from roost.network.addressed import router_of
from roost.network.names import home_tag
from roost.network.nft import read_chains
from roost.network.rules import RESTORE_IPV4, delete_table, host_rules, router_rules


def test_no_tracking_without_egress() -> None:
    """A router without egress has no rule that would switch connection tracking on."""
    text = router_rules(router_of(1, egress=False), egress=False, replace=False)
    assert all(word not in text for word in ("ct state", "type nat", "masquerade", "notrack"))


def test_egress_adds_its_chains() -> None:
    """With egress only replies come in, and what stays inside is not tracked."""
    text = router_rules(router_of(1), egress=True, replace=False)
    assert "iifgroup 2 oifgroup 1 ct state established,related accept" in text
    assert 3 == text.count("notrack")


def test_rules_name_their_own_network_only() -> None:
    """The only prefix of a network in a router's rules is its own."""
    text = router_rules(router_of(0x00AB_00CD), egress=False, replace=False)
    assert "fdaa:ab:cd:0:1::/80" in text
    assert "fdaa:ab:cd::3" in text


def test_replacing_is_one_transaction() -> None:
    """With `replace` the script drops a table that may be there before making it."""
    router = router_of(1)
    plain = router_rules(router, egress=True, replace=False)
    assert delete_table("roost") + plain == router_rules(router, egress=True, replace=True)


def test_homes_have_tables_and_links_of_their_own() -> None:
    """Rules of one home match its own uplinks and let nothing new into them."""
    one, two = (home_tag(Path(path)) for path in ("/a", "/b"))
    text = host_rules(f"roost_{one}", one, frozenset({RESTORE_IPV4}))
    assert one != two
    assert f'oifname "ru{one[:5]}*" drop' in text
    assert two[:5] not in text


def test_chains_are_read_from_nft() -> None:
    """The listing of nft gives every table with its chains, empty ones too."""
    listing = """table inet roost_0a1b2c3d {
	chain input {
		type filter hook input priority filter; policy accept;
	}
	chain restore_ip_forward {
	}
}
table inet other {
}
"""
    expected = {"roost_0a1b2c3d": {"input", "restore_ip_forward"}, "other": set()}
    assert expected == read_chains(listing)
    assert {} == read_chains("")
