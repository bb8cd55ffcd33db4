"""A small rtnetlink conversation: many requests in one send, every answer read.

Only framing, sending and reading; what the messages mean is `rtnl.py`. A library exists
(pyroute2) and was measured too slow for a Machine's start: docs/decisions/0002-own-netlink.md.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from roost.errors import UnavailableError

REQUEST = 0x1
ACK = 0x4
REPLACE = 0x100
EXCLUSIVE = 0x200
CREATE = 0x400
DUMP = 0x300

_ERROR = 2
_DONE = 3
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE_BYTES = 1 << 18
_ANSWER_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One message: `step` says in words what it does, `fine` lists errno values that are no error.

    `body` is everything after the netlink header.
    """

    step: str
    kind: int
    flags: int
    body: bytes
    fine: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One message the kernel sent back that is not an acknowledgement."""

    kind: int
    body: bytes


def attribute(kind: int, payload: bytes) -> bytes:
    """One route attribute, padded to four bytes."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(-length % 4)


def attributes(body: bytes, offset: int) -> dict[int, bytes]:
    """The attributes of a message from `offset` on, by kind (the last of a kind counts)."""
    found: dict[int, bytes] = {}
    while offset + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += length + (-length % 4)
    return found


class Conversation:
    """A NETLINK_ROUTE socket in the network namespace of the thread that made it; for one thread.

    Wherever it is used later, it stays in that namespace, and keeps the namespace alive.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.settimeout(_ANSWER_SECONDS)
        self._sequence = 0

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """Send all requests at once, wait for every answer; returns what was asked for.

        The kernel works through all of them in order, even after one failed. Raises
        UnavailableError, naming the first step that failed, with an errno not in its `fine`.
        Blocks, for milliseconds at most.
        """
        first = self._sequence + 1
        self._sequence += len(requests)
        self._socket.send(
            b"".join(_frame(request, first + n) for n, request in enumerate(requests))
        )
        waiting = {first + n: request for n, request in enumerate(requests)}
        answers: list[Answer] = []
        failures: list[tuple[Request, int]] = []
        while waiting:
            for kind, sequence, body in self._receive():
                request = waiting.get(sequence)
                if request is None:
                    continue
                if kind not in {_ERROR, _DONE}:
                    answers.append(Answer(kind=kind, body=body))
                    continue
                del waiting[sequence]
                code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
                if code and code not in request.fine:
                    failures.append((request, code))
        if failures:
            raise _failed(*failures[0])
        return answers

    def _receive(self) -> Iterator[tuple[int, int, bytes]]:
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except TimeoutError:
            raise UnavailableError(
                f"the kernel did not answer a network request within {_ANSWER_SECONDS} s"
            ) from None
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, _flags, sequence, _port = _HEADER.unpack_from(data, offset)
            if length < _HEADER.size:
                break
            yield kind, sequence, data[offset + _HEADER.size : offset + length]
            offset += length + (-length % 4)


def _frame(request: Request, sequence: int) -> bytes:
    length = _HEADER.size + len(request.body)
    flags = request.flags | REQUEST
    if flags & DUMP != DUMP or request.flags & CREATE:
        flags |= ACK
    header = _HEADER.pack(length, request.kind, flags, sequence, 0)
    return header + request.body + bytes(-length % 4)


def _failed(request: Request, code: int) -> UnavailableError:
    hint = None
    if code in {errno.EPERM, errno.EACCES}:
        hint = "run Roost as root, or where user namespaces are allowed"
    elif code in {errno.EOPNOTSUPP, errno.ENODEV}:
        hint = "the kernel lacks a feature Roost needs; `roost doctor` names it"
    return UnavailableError(f"cannot {request.step}: {os.strerror(code)}", hint=hint)
