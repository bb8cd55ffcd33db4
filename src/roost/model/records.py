"""What the store holds: one class per kind of record, each with its key and its indexes.

Records are values: frozen, JSON-ready, changed by making a new one (`model_copy(update=…)`).
Times are milliseconds since the epoch. Keys are strings, unique within a kind.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv6Address
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from roost.model.addresses import machine_prefix
from roost.model.machine_config import MachineConfig
from roost.model.machine_state import Goal, MachineState


class Record(BaseModel):
    """Root of all kinds. `kind` names the table row, `indexes` the list() look-ups."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: ClassVar[str]

    @property
    def key(self) -> str:
        """Unique within the kind."""
        raise NotImplementedError

    def indexes(self) -> dict[str, str]:
        """Index name → value; a record is listed under each pair."""
        return {}


class Org(Record):
    """Owner of apps and networks."""

    kind: ClassVar[str] = "org"
    slug: str
    name: str
    closed: bool = False
    """It is being deleted: nothing new can be made in it."""
    cross_network_replays: bool = False
    """Its apps may replay requests to each other over its networks."""
    replay_sources: tuple[str, ...] = ()
    """Slugs of the organizations whose apps may replay requests to its apps, in order."""
    created_at: int

    @property
    def key(self) -> str:
        """The slug."""
        return self.slug


class Network(Record):
    """A private network; its id is bound to (org, name) for ever and never reused."""

    kind: ClassVar[str] = "network"
    id: int
    org: str
    name: str
    egress: bool = True
    created_at: int

    @property
    def key(self) -> str:
        """`org/name`."""
        return f"{self.org}/{self.name}"

    def indexes(self) -> dict[str, str]:
        """By id."""
        return {"id": str(self.id)}


class Counter(Record):
    """The last number given out of a series; numbers are never reused."""

    kind: ClassVar[str] = "counter"
    name: str
    value: int

    @property
    def key(self) -> str:
        """The series' name, such as `network` or `flycast/7`."""
        return self.name


class App(Record):
    """A named group of Machines on one network."""

    kind: ClassVar[str] = "app"
    id: str
    name: str
    org: str
    network: str
    network_id: int
    number: int
    internal: bool = False
    """Made by Roost itself (consoles); left out of lists."""
    wants_flycast: bool = False
    """Set by `launch --flycast --no-deploy`: the first deploy allocates a private address."""
    drain_ms: int = 5000
    """How long open connections go on after the address they came by was released: the
    kill_timeout of its Machines at the latest release."""
    created_at: int

    @property
    def key(self) -> str:
        """The name."""
        return self.name

    def indexes(self) -> dict[str, str]:
        """By org and by network."""
        return {"org": self.org, "network": str(self.network_id)}


class AddressType(StrEnum):
    """The API's words for the kinds of address."""

    PRIVATE_V6 = "private_v6"
    V6 = "v6"
    V4 = "v4"
    SHARED_V4 = "shared_v4"

    @property
    def public(self) -> bool:
        """Whether it is reached from the host's outside."""
        return self is not AddressType.PRIVATE_V6


class Address(Record):
    """One address of an app: a Flycast address on one network, or a public one.

    The audience of a Flycast address is the network it is on, whoever's that is; a public one has
    none (`network_id` 0).
    """

    kind: ClassVar[str] = "address"
    ip: str
    app: str
    type: AddressType = AddressType.PRIVATE_V6
    org: str
    network: str
    network_id: int
    ports: tuple[int, ...] = ()
    """The only external ports that answer here; none named means all."""
    grant: str = ""
    """Id of the grant, when the network is another organization's."""
    expires_at: int | None = None
    created_at: int

    @property
    def key(self) -> str:
        """The address in canonical text; a shared one together with its app."""
        return f"{self.ip}/{self.app}" if self.type is AddressType.SHARED_V4 else self.ip

    def indexes(self) -> dict[str, str]:
        """By app, by network, by address, and those that end by themselves."""
        pairs = {"app": self.app, "network": str(self.network_id), "ip": self.ip}
        return pairs | ({"expiring": "yes"} if self.expires_at is not None else {})


class Lease(BaseModel):
    """Exclusive right to change a Machine until `expires_at` (ms)."""

    model_config = ConfigDict(frozen=True)
    nonce: str
    expires_at: int
    owner: str
    description: str = ""
    version: str = ""


class MachineEvent(BaseModel):
    """One line of a Machine's history, in the API's words."""

    model_config = ConfigDict(frozen=True)
    id: str
    type: str
    status: str
    source: str
    timestamp: int
    request: dict[str, Any] | None = None


class Machine(Record):
    """One Machine: what users want of it and what its host last saw."""

    kind: ClassVar[str] = "machine"
    id: str
    name: str
    app: str
    region: str
    network_id: int
    host: int
    number: int
    """Unique on this host: the machine field of the 6PN address."""
    ipv4: int
    """Index of the private IPv4 within the network (`addresses.machine_ipv4`)."""
    instance_id: str
    config: MachineConfig
    image_digest: str = ""
    state: MachineState = MachineState.CREATED
    goal: Goal = Goal.STARTED
    stop_signal: str | None = None
    """Signal and patience (ms) of the stop asked for last, over those of config.stop_config."""
    stop_timeout_ms: int | None = None
    stop_requested: bool = False
    """True between a user's, the proxy's or a deploy's stop and the next start: the restart
    policy must not undo it."""
    cordoned: bool = False
    lease: Lease | None = None
    events: tuple[MachineEvent, ...] = ()
    """Newest first, at most 50."""
    restart_count: int = 0
    restarts: tuple[int, ...] = ()
    """When the policy restarted it lately (ms), for max_retries within 5 minutes."""
    started_at: int | None = None
    created_at: int
    updated_at: int

    @property
    def key(self) -> str:
        """The Machine id."""
        return self.id

    @property
    def private_ip(self) -> IPv6Address:
        """The Machine's 6PN address."""
        return machine_prefix(self.network_id, self.host, self.number).ip

    def indexes(self) -> dict[str, str]:
        """By app, state, network and (for unfinished business) goal differing from state;
        `tombstone` lists an app's destroyed ones.
        """
        unsettled = "no" if str(self.state) == str(self.goal) else "yes"
        pairs = {
            "app": self.app,
            "state": str(self.state),
            "network": str(self.network_id),
            "unsettled": unsettled,
        }
        if self.state is MachineState.DESTROYED:
            pairs["tombstone"] = self.app
        return pairs


class Release(Record):
    """A numbered deploy of an app."""

    kind: ClassVar[str] = "release"
    id: str
    app: str
    version: int
    status: Literal["pending", "running", "complete", "failed", "interrupted"]
    strategy: str
    image: str
    user: str
    description: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    created_at: int

    @property
    def key(self) -> str:
        """`app/version`, zero-padded so that keys sort."""
        return f"{self.app}/{self.version:08d}"

    def indexes(self) -> dict[str, str]:
        """By app."""
        return {"app": self.app}


class Secret(Record):
    """One encrypted value of an app; `sealed` is base64 of nonce + AES-GCM ciphertext."""

    kind: ClassVar[str] = "secret"
    app: str
    name: str
    sealed: str
    digest: str
    version: int
    created_at: int
    updated_at: int

    @property
    def key(self) -> str:
        """`app/NAME`."""
        return f"{self.app}/{self.name}"

    def indexes(self) -> dict[str, str]:
        """By app."""
        return {"app": self.app}
