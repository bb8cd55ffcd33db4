"""`roost machine …` (also `machines`, `m`): gathers the modules that hold its commands."""

from __future__ import annotations

from roost.cli.commands import (
    machine_exec,
    machine_list,
    machine_run,
    machine_status,
    machine_verbs,
    machine_wait,
)
from roost.cli.commands.machine_app import app

__all__ = [
    "app",
    "machine_exec",
    "machine_list",
    "machine_run",
    "machine_status",
    "machine_verbs",
    "machine_wait",
]
