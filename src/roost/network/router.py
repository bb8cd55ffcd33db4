"""One router namespace: made complete, mended, taken away. Blocks; runs on a worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from roost.errors import PreconditionError
from roost.network import rtnl, sysctl, uplink
from roost.network.base import Router
from roost.network.names import MACHINE_GROUP, UPLINK_LINK, router_file
from roost.network.namespaces import is_namespace, unpin
from roost.network.netlink import Conversation, Request
from roost.network.nft import Loading
from roost.network.rules import router_rules
from roost.network.steps import Place, entered, pinned

_NOBODYS: Final = (IPv6Network("fdaa::/16"), IPv4Network("172.16.0.0/12"))
"""Machine addresses: what of them is not routed to a Machine must not leave by the uplink."""
_METADATA: Final = IPv4Network("169.254.0.0/16")
"""Link-local services of the host's surroundings (cloud metadata holds its credentials)."""

SETTINGS: Final = {
    sysctl.IP_FORWARD: "1",
    sysctl.IP6_FORWARDING: "1",
    sysctl.ADDRESS_MODE: sysctl.NO_ADDRESS,
}
"""Kernel settings of every router."""


@contextmanager
def completed(place: Place, router: Router, *, egress: bool, egress6: bool) -> Iterator[None]:
    """Make a router complete, or mend it; within the block its rules may still be loading.

    They are in force when the block ends. The calling thread is left in some other namespace.
    Raises UnavailableError and OSError.
    """
    path = place.folder / router_file(router.network_id)
    with Conversation() as host:
        new = pinned(path)
        place.done("router pinned")
        with entered(path) as fd, Conversation() as inside:
            for name, value in SETTINGS.items():
                sysctl.write(name, value)
            what = f"load the rules of network {router.network_id}"
            rules = router_rules(router, egress=egress, replace=not new)
            with Loading(what, rules):
                place.done("router rules started")
                inside.ask(own_addresses(router))
                place.done("router addresses")
                if egress:
                    uplink.connect(
                        place,
                        router.network_id,
                        host=host,
                        router=inside,
                        router_fd=fd,
                        ip6=egress6,
                    )
                else:
                    inside.ask([rtnl.delete_link("remove an uplink", UPLINK_LINK)])
                yield
    place.done("router complete")


def remove(place: Place, network_id: int) -> None:
    """Let go of a router namespace; missing is fine. Its uplink is `uplink.disconnect`'s.

    Raises PreconditionError while Machines are linked to it.
    """
    path = place.folder / router_file(network_id)
    if is_namespace(path):
        with entered(path), Conversation() as inside:
            links = rtnl.read_links(inside.ask([rtnl.list_links("list a router's links")]))
        count = sum(link.group == MACHINE_GROUP for link in links)
        if count:
            raise PreconditionError(
                f"network {network_id} still has {count} Machine(s) attached on this host",
                hint="detach them first",
            )
    unpin(path)


def file_of(place: Place, network_id: int) -> Path:
    """Where a router's namespace is pinned."""
    return place.folder / router_file(network_id)


def own_addresses(router: Router) -> list[Request]:
    """What is asked in a router that does not depend on its Machines or its uplink."""
    step = f"give the router of network {router.network_id} its addresses"
    lo = rtnl.LOOPBACK_INDEX
    return [
        rtnl.bring_up(step, lo),
        rtnl.add_address(step, lo, router.gateway4, 32),
        *(each for address in router.dns for each in rtnl.own_address(step, lo, address, 128)),
        rtnl.add_local_route(step, router.flycast),
        *(rtnl.refuse_route(step, prefix) for prefix in (*_NOBODYS, _METADATA)),
    ]
