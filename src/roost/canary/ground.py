"""Where one Roost's canary works, and the calling thread's way between its namespaces."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from roost.canary.base import Subject
from roost.canary.state import Way
from roost.errors import UnavailableError
from roost.home import Home
from roost.network import uplink
from roost.network.names import home_tag, machine_file, router_file
from roost.network.namespaces import OWN_NETWORK, enter_network
from roost.network.netlink import Conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A ROOST_HOME, whether its host has a way out for each IP version, and how many seconds a
    control is waited for.
    """

    home: Home
    egress: bool
    egress6: bool
    patience: float

    @property
    def tag(self) -> str:
        """What stands for the home in names."""
        return home_tag(self.home.root)

    def machine(self, machine_id: str) -> Path:
        """A Machine's namespace file."""
        return self.home.netns / machine_file(machine_id)

    def router(self, network: int) -> Path:
        """A router's namespace file."""
        return self.home.netns / router_file(network)


class Traveller:
    """Moves the thread that made it between namespaces; where it was then is the host's."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self._home = os.open(OWN_NETWORK, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> Traveller:
        return self

    def __exit__(self, *_: object) -> None:
        self.to_host()
        os.close(self._home)

    def to_host(self) -> None:
        """Go to the daemon's namespace."""
        enter_network(self._home)

    def to(self, file: Path) -> None:
        """Go to a namespace by its file. Raises OSError."""
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter_network(fd)
        finally:
            os.close(fd)

    def way(self, subject: Subject) -> Way:
        """The uplink of a network; the thread is in its router afterwards.

        Raises OSError.
        """
        ground = self.ground
        self.to_host()
        with Conversation() as host:
            self.to(ground.router(subject.id))
            with Conversation() as router:
                try:
                    ends = uplink.existing(ground.tag, subject.id, host=host, router=router)
                except UnavailableError:
                    ends = None  # its note is none of ours: what should be there is missing
        wanted = subject.router.egress and ground.egress
        return Way(wanted=wanted, ip6=wanted and ground.egress6, ends=ends)
