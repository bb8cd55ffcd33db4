"""Public addresses made the host's own: one local route for each pool (AnyIP). Blocks.

That packets for them arrive here is the business of whoever routes to this host. The routes carry a
mark, the Roost's tag as their metric, so that they are found again after a crash and two Roosts on
one host leave each other's alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from roost.network import rtnl
from roost.network.netlink import Conversation
from roost.network.rtnl import Prefix


def own(tag: str, pools: Sequence[Prefix]) -> None:
    """Make exactly these pools the host's own; earlier ones of this Roost are given up.

    Raises UnavailableError.
    """
    wanted = set(pools)
    with Conversation() as host:
        for prefix in _owned(tag, host) - wanted:
            host.ask([rtnl.delete_marked_local(f"give up {prefix}", prefix, _mark(tag))])
        for prefix in wanted:
            host.ask([rtnl.add_marked_local(f"own {prefix}", prefix, _mark(tag))])


def _owned(tag: str, host: Conversation) -> set[Prefix]:
    answers = host.ask([rtnl.list_routes("list the host's routes")])
    return set(rtnl.read_marked_local(answers, _mark(tag)))


def _mark(tag: str) -> int:
    """A metric that nobody else uses by chance."""
    return int(tag, 16) | 1
