"""What router, uplink and Machine jobs share: where the files are, who is told of each step."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from roost.errors import UnavailableError
from roost.network import rtnl
from roost.network.namespaces import enter_network, is_namespace, pin_network, unshare_network
from roost.network.netlink import Conversation

_READY_SECONDS = 5
_ASK_AGAIN_SECONDS = 0.0005


def nobody(_step: str) -> None:
    """Nobody wants to hear of steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one Roost's namespaces are; `done` is called after each step (tests stop there)."""

    folder: Path
    tag: str
    done: Callable[[str], None] = nobody


@contextmanager
def entered(path: Path) -> Iterator[int]:
    """Move the calling thread into a pinned namespace; yields a descriptor of it.

    The thread stays there afterwards (its worker brings it home). Raises OSError.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter_network(fd)
        yield fd
    finally:
        os.close(fd)


def pinned(path: Path) -> bool:
    """Pin a new namespace at `path` unless one is there; whether it is new. Raises OSError."""
    if is_namespace(path):
        return False
    path.unlink(missing_ok=True)
    unshare_network()
    pin_network(path)
    return True


def await_ready(at: Conversation, name: str) -> None:
    """Return once what is sent over a link goes out; both its ends must have been set up.

    Asking is what makes the kernel (from 6.9 on) activate a link at once; before, it does so in its
    own time, within a millisecond or some. Raises UnavailableError.
    """
    deadline = time.monotonic() + _READY_SECONDS
    step = f"wait for link {name}"
    while not any(link.ready for link in rtnl.read_links(at.ask([rtnl.get_link(step, name)]))):
        if time.monotonic() > deadline:
            raise UnavailableError(f"link {name} was not ready within {_READY_SECONDS} s")
        time.sleep(_ASK_AGAIN_SECONDS)
