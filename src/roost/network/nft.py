"""Running `nft`, in the network namespace of the calling thread. Everything here blocks."""

from __future__ import annotations

import shutil
import subprocess
from types import TracebackType

from roost.errors import UnavailableError

_SECONDS = 20
_INSTALL = "install the package `nftables`; `roost doctor` checks the kernel's side"


class Loading:
    """An `nft -f` that runs while its starter does other things; leaving the block waits for it.

    Raises UnavailableError with what nft said when the rules were not taken.
    """

    def __init__(self, what: str, script: str) -> None:
        self._what = what
        try:
            self._process = subprocess.Popen(
                [_program(), "-f", "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise UnavailableError(f"cannot run nft: {error}", hint=_INSTALL) from error
        self._script = script.encode()
        self._feed()

    def _feed(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(self._script)
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # nft ended early: its status tells
        finally:
            self._process.stdin = None

    def wait(self) -> None:
        """Wait until the rules are in force."""
        try:
            _, said = self._process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            self.abandon()
            raise UnavailableError(f"nft took over {_SECONDS} s to {self._what}") from None
        if self._process.returncode != 0:
            raise _refused(self._what, said)

    def abandon(self) -> None:
        """End nft, whatever it is doing."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Loading:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None:
            self.wait()
        else:
            self.abandon()


def load(what: str, script: str) -> None:
    """Put rules in force. Raises UnavailableError."""
    Loading(what, script).wait()


def chains_by_table() -> dict[str, set[str]]:
    """The chains of every table of family inet. Raises UnavailableError."""
    done = subprocess.run(
        [_program(), "list", "chains", "inet"], capture_output=True, timeout=_SECONDS, check=False
    )
    if done.returncode != 0:
        raise _refused("list the firewall's chains", done.stderr)
    return read_chains(done.stdout.decode())


def listing(table: str | None = None) -> str:
    """All rules, or those of one table of family inet ("" when there is none), as nft writes them.

    Raises UnavailableError.
    """
    words = ["list", "ruleset"] if table is None else ["list", "table", "inet", table]
    done = subprocess.run([_program(), *words], capture_output=True, timeout=_SECONDS, check=False)
    if done.returncode != 0:
        if table is not None and table not in chains_by_table():
            return ""
        raise _refused("list the firewall's rules", done.stderr)
    return done.stdout.decode()


def read_chains(text: str) -> dict[str, set[str]]:
    """Parse the output of `nft list chains`: table name → chain names. Pure."""
    tables: dict[str, set[str]] = {}
    table = ""
    for line in text.splitlines():
        match line.split():
            case ["table", _family, name, "{"]:
                table = name
                tables.setdefault(table, set())
            case ["chain", name, "{"]:
                tables.setdefault(table, set()).add(name)
            case _:
                pass
    return tables


def _program() -> str:
    found = shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin")
    if found is None:
        raise UnavailableError("the program nft was not found", hint=_INSTALL)
    return found


def _refused(what: str, said: bytes) -> UnavailableError:
    first = said.decode(errors="replace").strip().splitlines()[:1]
    return UnavailableError(f"cannot {what}: nft: {first[0] if first else 'failed'}", hint=_INSTALL)
