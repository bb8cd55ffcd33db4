"""`roost version`."""

from __future__ import annotations

from roost import __version__
from roost.cli.command import command, new_app

app = new_app("Show the version.")


@command(app, "version")
def version() -> None:
    """Show the version of roost."""
    import platform

    from roost.cli import output

    machine = f"{platform.system().lower()}/{platform.machine()}"
    value = {"name": "roost", "version": __version__, "platform": machine}
    output.show(value, lambda: output.line(f"roost v{__version__} {machine}"))
