"""The process description of a command run inside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from pathlib import Path

from roost.runtime.exec import Inside, description, open_session

PROCESS = {"args": ["server"], "env": ["A=1", "B=x=y"], "cwd": "/srv", "terminal": False}


def test_description() -> None:
    """Folder and user stay the container's; arguments and environment are the command's."""
    made = description(PROCESS, ("sh", "-c", "x"), {"A": "2"}, tty=False)
    assert {
        "args": ["sh", "-c", "x"],
        "env": ["A=2", "B=x=y"],
        "cwd": "/srv",
        "terminal": False,
    } == made


def test_terminal_has_a_type() -> None:
    """With a terminal there is a TERM, the caller's if it gives one."""
    assert "TERM=xterm" in description(PROCESS, ("sh",), {}, tty=True)["env"]
    assert "TERM=vt100" in description(PROCESS, ("sh",), {"TERM": "vt100"}, tty=True)["env"]


_RUNTIME = """#!/bin/sh
while [ "$1" != --pid-file ]; do shift; done
setsid sleep 4321 &
echo $!
read -r go < "{gate}"
echo $! > "$2.new" && mv "$2.new" "$2"
wait
"""
"""Says the command's process on its output; writes it down only when the gate is opened."""


def test_close_waits_for_the_process_to_be_known(tmp_path: Path) -> None:
    """A session closed before the OCI runtime has written down its process leaves none behind."""
    gate, runtime = tmp_path / "gate", tmp_path / "runtime"
    os.mkfifo(gate)
    runtime.write_text(_RUNTIME.format(gate=gate))
    runtime.chmod(0o755)
    inside = Inside(
        runtime=runtime,
        arguments=(),
        container="c",
        bundle=tmp_path,
        sockets=tmp_path,
        process=PROCESS,
    )

    async def main() -> None:
        session = await open_session(inside, ("x",), tty=False, env={})
        _, pid = await session.read()
        process = os.pidfd_open(int(pid))
        opener = os.open(gate, os.O_RDWR)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(session.close())
                await asyncio.sleep(0)
                os.write(opener, b"go\n")
            assert select.select([process], [], [], 10)[0] == [process]
        finally:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGKILL)
            os.close(process)
            os.close(opener)

    asyncio.run(main())
