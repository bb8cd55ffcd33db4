"""`roost platform regions|vm-sizes`."""

from __future__ import annotations

from roost.cli import output
from roost.cli.client import connect
from roost.cli.command import command, new_group

app = new_group("What this Roost offers.")

SHARED_MB, PERFORMANCE_MB = 256, 2048
SIZES = [(f"shared-cpu-{n}x", n, SHARED_MB * n) for n in (1, 2, 4, 6, 8)] + [
    (f"performance-{n}x", n, PERFORMANCE_MB * n) for n in (1, 2, 4, 6, 8, 10, 12, 14, 16)
]


@command(app, "regions")
def regions() -> None:
    """List regions."""
    with connect() as api:
        found = list(api.get("/v1/platform/regions").get("Regions", []))
    rows = [[str(item.get("name", "")), str(item.get("code", ""))] for item in found]
    output.show(found, lambda: output.print_table(["Name", "Code"], rows))


@command(app, "vm-sizes")
def vm_sizes() -> None:
    """List the named sizes of Machines."""
    value = [{"name": name, "cpu_cores": cpus, "memory_mb": mb} for name, cpus, mb in SIZES]
    rows = [[name, str(cpus), _memory(mb)] for name, cpus, mb in SIZES]
    output.show(value, lambda: output.print_table(["Name", "CPU Cores", "Memory"], rows))


def _memory(mb: int) -> str:
    return f"{mb // 1024} GB" if mb % 1024 == 0 else f"{mb} MB"
