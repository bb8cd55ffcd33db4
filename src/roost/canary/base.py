"""What the canary is asked, tries, and tells: values only, and the driver's contract.

From inside each network that is up it tries what must be impossible, as a Machine with CAP_NET_RAW
could, and what must be possible, so that a canary that feels nothing is not taken for a safe
network. Drivers: `netns` (Linux) and `fake`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from roost.network.base import Router


class Means(StrEnum):
    """What an attempt is made of."""

    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"
    ARP = "arp"
    DNS = "dns"
    UNIX = "unix"
    FILE = "file"
    KERNEL = "kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One thing tried: in words that follow "a Machine could …", from a network's id (0: the
    host), towards an address or name, by which means.
    """

    what: str
    network: int
    to: str
    means: Means


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an attempt. `wanted`: it had to succeed (a control); `how` is the evidence."""

    attempt: Attempt
    wanted: bool
    happened: bool
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Something of a network (0: the host) that is not as the design has it, line by line."""

    network: int
    what: str
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """Everything a driver saw in one run."""

    outcomes: tuple[Outcome, ...] = ()
    drifts: tuple[Drift, ...] = ()


class Kind(StrEnum):
    """Of a finding."""

    BREACH = "breach"
    """Something impossible succeeded."""
    BLIND = "blind"
    """Something that must work did not, so that nothing is known."""
    DRIFT = "drift"
    """The kernel's state is not the one Roost makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One alarm; the sentence says what happened, where, and what to do next."""

    kind: Kind
    network: int
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run. `started_at` is in ms since the epoch, `took` in ms; `tried` counts attempts,
    `networks` are the ids of those probed, `left_out` of those a later run takes.
    """

    started_at: int
    took: int
    networks: tuple[int, ...]
    left_out: tuple[int, ...]
    tried: int
    findings: tuple[Finding, ...]

    def count(self, kind: Kind) -> int:
        """How many findings are of a kind."""
        return sum(finding.kind is kind for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Name:
    """A name to ask a network's DNS for; `exists`: whether it may know it."""

    text: str
    exists: bool


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The addresses of a real Machine of a network."""

    ip6: IPv6Address
    ip4: IPv4Address


@dataclass(frozen=True, slots=True)
class Inhabitant:
    """A running Machine, its network's id, and the pid of its main process on this host."""

    machine: str
    network: int
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A network to probe: its router as wanted, some of its Machines, names to ask for."""

    router: Router
    host: int
    machines: tuple[Neighbour, ...] = ()
    names: tuple[Name, ...] = ()

    @property
    def id(self) -> int:
        """The network's id."""
        return self.router.network_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to probe in one run.

    `inhabitants` are those whose view of files is looked at; `ports` are TCP ports on which the
    host's own services (the API) listen.
    `turn` counts runs: of what is too much for one run each takes another part.
    """

    subjects: tuple[Subject, ...] = ()
    inhabitants: tuple[Inhabitant, ...] = ()
    ports: tuple[int, ...] = ()
    turn: int = 0


class Prober(Protocol):
    """Tries things on this host."""

    async def probe(self, task: Task) -> Probed:
        """Attach probe points to the subjects, try everything, take the points away.

        The routers of all subjects are there and stay until it returns. Some 0.1 s for each
        network; never more than half a minute. Raises UnavailableError.
        """
        ...
