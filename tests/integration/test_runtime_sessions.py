"""Commands inside with a terminal, and their ends."""

from __future__ import annotations

import asyncio
import signal

import pytest

from roost.errors import DeadlineError
from roost.runtime.base import ExecSession
from tests.support.namespaces import isolated
from tests.support.runtime import container, oci_runtime, short_home, started, until_gone

pytestmark = pytest.mark.root


async def _until(session: ExecSession, mark: bytes) -> bytes:
    """Output up to and including `mark`."""
    text = b""
    async with asyncio.timeout(30):
        while mark not in text:
            number, piece = await session.read()
            assert number == 1, text
            text += piece
    return text


@isolated
async def test_terminal_with_size() -> None:
    """A terminal has the size it was given, also after a change, and the code comes back."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            await started(runtime, container(home))
            session = await runtime.session("m1", ("sh",), tty=True)
            for rows, columns in ((33, 44), (50, 120)):
                session.resize(rows, columns)
                await session.write(b"stty size\n")
                await _until(session, b"%d %d" % (rows, columns))
            await session.write(b"exit 7\n")
            while (await session.read())[0]:
                pass
            assert 7 == await session.wait()
            await session.close()


@isolated
async def test_interrupt_key() -> None:
    """Ctrl-C reaches the command in the terminal's foreground."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            await started(runtime, container(home))
            script = "trap 'echo got it; exit 9' INT; echo ready; while :; do sleep 0.01; done"
            session = await runtime.session("m1", ("sh", "-c", script), tty=True)
            await _until(session, b"ready")
            await session.write(b"\x03")
            await _until(session, b"got it")
            assert 9 == await session.wait()
            await session.close()


@isolated
async def test_outputs_are_apart() -> None:
    """Without a terminal the two outputs are told apart."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            await started(runtime, container(home))
            script = "echo one; echo two >&2"
            session = await runtime.session("m1", ("sh", "-c", script), tty=False)
            found = {1: b"", 2: b""}
            while (piece := await session.read())[0]:
                found[piece[0]] += piece[1]
            assert {1: b"one\n", 2: b"two\n"} == found
            assert 0 == await session.wait()
            await session.close()


@pytest.mark.parametrize("tty", [False, True])
def test_close_ends_the_command(*, tty: bool) -> None:
    """Closing a session leaves no process of it inside."""

    @isolated
    async def body() -> None:
        with short_home() as home:
            async with oci_runtime(home) as runtime:
                await started(runtime, container(home))
                command = ("sh", "-c", "echo ready; exec sleep 4321")
                session = await runtime.session("m1", command, tty=tty)
                await _until(session, b"ready")
                await session.close()
                assert 128 + signal.SIGKILL == await session.wait()
                await until_gone(runtime, "4321")

    body()


@isolated
async def test_deadline_ends_the_command() -> None:
    """A command that runs too long is ended inside, too."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            await started(runtime, container(home))
            with pytest.raises(DeadlineError):
                await runtime.exec("m1", ("sleep", "4321"), timeout=1)
            await until_gone(runtime, "4321")


@isolated
async def test_bounded_output() -> None:
    """A command that prints without end is cut at a mebibyte."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            await started(runtime, container(home))
            done = await runtime.exec("m1", ("head", "-c", "3000000", "/dev/zero"), timeout=30)
            assert (0, 1 << 20) == (done.exit_code, len(done.stdout))
