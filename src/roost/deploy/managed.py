"""The Machines of an app that deploys and scaling act on; others were made by hand, or run checks
of a deploy.
"""

from __future__ import annotations

from roost.control.service import Control
from roost.model.machine_state import MachineState
from roost.model.records import Machine
from roost.plan.rollout import Present
from roost.spec.app_config import DEFAULT_GROUP
from roost.spec.machine import PLATFORM_VERSION
from roost.spec.machine_check import CHECK_GROUP

_OWN_METADATA = {"fly_platform_version": PLATFORM_VERSION}
_GOING = frozenset({MachineState.DESTROYING, MachineState.DESTROYED})


def managed_machines(control: Control, app: str) -> list[Machine]:
    """Machines that were made by deploys, those on their way out left out.

    Raises NotFoundError (app).
    """
    found = control.machines.list(app, metadata=_OWN_METADATA)
    return [one for one in found if one.state not in _GOING and group_of(one) != CHECK_GROUP]


def group_of(machine: Machine) -> str:
    """The process group of a Machine."""
    return machine.config.metadata.get("fly_process_group", DEFAULT_GROUP)


def present(machine: Machine) -> Present:
    """The Machine as plans see it."""
    return Present(id=machine.id, group=group_of(machine), state=machine.state)
