"""What can be asked of Machines, as values."""

from __future__ import annotations

from dataclasses import dataclass

from roost.model.machine_config import MachineConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateMachine:
    """A new Machine. `name` "" lets Roost choose, `region` "" is this host's.

    `skip_launch` leaves it stopped, `skip_service_registration` cordoned; `lease_ttl` (seconds)
    gives the creator (`lease_owner`) a lease on it.
    """

    config: MachineConfig
    name: str = ""
    region: str = ""
    skip_launch: bool = False
    skip_service_registration: bool = False
    lease_ttl: int | None = None
    lease_owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateMachine:
    """A Machine's whole new configuration (nothing is merged).

    `name` and `region` may be repeated but not changed. `current_version`, when given, must be the
    instance id that the caller has seen.
    """

    config: MachineConfig
    name: str = ""
    region: str = ""
    skip_launch: bool = False
    skip_service_registration: bool | None = None
    current_version: str = ""
