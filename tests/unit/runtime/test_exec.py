"""The process description of a command run inside."""

from __future__ import annotations

from roost.runtime.exec import description

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
