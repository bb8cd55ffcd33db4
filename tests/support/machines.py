"""Machine records for tests."""

from __future__ import annotations

from typing import Any

from roost.model.machine_config import MachineConfig
from roost.model.records import Machine


def a_machine(**changes: Any) -> Machine:
    """A created Machine with image roost/host; any field can be given."""
    fields: dict[str, Any] = {
        "id": "148e1234567890",
        "name": "calm-otter-1",
        "app": "web",
        "region": "local",
        "network_id": 1,
        "host": 2,
        "number": 5,
        "ipv4": 5,
        "instance_id": "01J0000000000000000000000A",
        "config": MachineConfig(image="roost/host"),
        "created_at": 1,
        "updated_at": 1,
    }
    return Machine.model_validate(fields | changes)
