"""What clients send: one class per body, tolerant of keys that Roost does not know.

Fly's clients send more than Roost needs; unknown keys are ignored, known ones are checked.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from roost.model.machine_config import Guest, MachineConfig


class Body(BaseModel):
    """Root of all."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class CreateAppBody(Body):
    """`POST /apps`; Fly's documentation says app_name, its client name."""

    name: str = Field(validation_alias=AliasChoices("name", "app_name"))
    org_slug: str = "personal"
    network: str | None = None
    app_role_id: str | None = None
    wants_flycast: bool = False


class PatchAppBody(Body):
    """`PATCH /apps/{app}`."""

    wants_flycast: bool


class AddressBody(Body):
    """`POST …/ip_assignments`; `ports` and `expires` (such as "7d") are Roost's own."""

    type: str = "private_v6"
    region: str | None = None
    org_slug: str | None = None
    network: str | None = None
    service_name: str | None = None
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = ()
    expires: str | None = Field(default=None, max_length=64)


class CreateOrgBody(Body):
    """`POST /orgs`; without `slug` it is made from the name."""

    name: str
    slug: str | None = None


class CertificateBody(Body):
    """`POST …/certificates/custom`."""

    hostname: str = Field(max_length=256)
    fullchain: str
    private_key: str = Field(repr=False)


class AcmeCertificateBody(Body):
    """`POST …/certificates/acme`."""

    hostname: str = Field(max_length=256)


class CrossNetworkReplaysBody(Body):
    """`PUT /orgs/{org}/cross_network_replays`."""

    allowed: bool


class ReplaySourcesBody(Body):
    """`POST /orgs/{org}/replay_sources`: slugs of organizations."""

    add: list[str] = Field(default_factory=list, max_length=64)
    remove: list[str] = Field(default_factory=list, max_length=64)


class SecretsBody(Body):
    """`POST …/secrets`; null removes."""

    values: dict[str, str | None]


class MachineBody(Body):
    """`POST …/machines` and `POST …/machines/{id}`."""

    config: MachineConfig
    name: str | None = None
    region: str | None = None
    skip_launch: bool = False
    skip_service_registration: bool | None = None
    lease_ttl: int | None = None
    current_version: str | None = None


class StopBody(Body):
    """`POST …/stop`; a timeout of zero means the configured one, as clients send it always."""

    signal: str | None = None
    timeout: str | int | None = None


class LeaseBody(Body):
    """`POST …/lease`."""

    ttl: int | None = None
    description: str | None = None


class MetadataBody(Body):
    """`POST …/metadata/{key}`."""

    value: str


class SignalBody(Body):
    """`POST …/signal`: a number or a name."""

    signal: int | str


class ExecBody(Body):
    """`POST …/exec`: `command` is a list, `cmd` a string that is split as a shell would."""

    command: tuple[str, ...] | None = None
    cmd: str | None = None
    stdin: str | None = None
    timeout: int | None = Field(default=None, ge=0, le=3600)


class PlacementBody(Body):
    """`POST /platform/placements`."""

    region: str | None = None
    count: int = Field(default=1, ge=0, le=10_000)
    compute: Guest | None = None


class ConsoleBody(Body):
    """`POST /consoles`."""

    org: str = "personal"
    network: str = ""


class TokenBody(Body):
    """`POST /orgs/{org}/tokens`: `expiry` is how long it lives, such as `7d` or `24h`."""

    kind: Literal["org", "readonly", "deploy", "machine"]
    name: str = ""
    app: str = ""
    machine: str = ""
    expiry: str | None = None


class OperatorTokenBody(Body):
    """`POST /tokens`."""

    name: str = ""
    expiry: str | None = None


class ScaleBody(Body):
    """`POST …/scale`: process group → number, or "+1", "-1"."""

    counts: dict[str, str | int]


class ProxyUpgradeBody(Body):
    """`POST /proxy/upgrade`: how long connections may go on in the old process (1 h)."""

    drain_ms: int | None = Field(default=None, ge=0, le=7 * 86_400_000)
