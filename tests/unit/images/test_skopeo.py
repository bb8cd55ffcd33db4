"""What skopeo's complaints mean. The texts are what skopeo 1.9 prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.errors import InvalidError, NotFoundError, RoostError, UnavailableError
from roost.images.skopeo import Skopeo, explain

LINE = 'time="2026-01-01T00:00:00Z" level=fatal msg="{}"\n'


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        (
            "initializing source docker://localhost:5999/x:latest: pinging container registry "
            'localhost:5999: Get \\"https://localhost:5999/v2/\\": dial tcp 127.0.0.1:5999: '
            "connect: connection refused",
            UnavailableError,
            "cannot be reached",
        ),
        (
            "initializing source docker://nope.invalid/x:latest: pinging container registry "
            'nope.invalid: Get \\"https://nope.invalid/v2/\\": dial tcp: lookup nope.invalid on '
            "10.0.0.53:53: no such host",
            UnavailableError,
            "cannot be reached",
        ),
        (
            "initializing source docker://x/y:2: reading manifest 2 in x/y: manifest unknown: "
            "manifest unknown",
            NotFoundError,
            "does not exist",
        ),
        (
            "initializing source oci:/nope:1: open /nope/index.json: no such file or directory",
            NotFoundError,
            "does not exist",
        ),
        (
            'initializing source oci:/layout:zz: no descriptor found for reference \\"zz\\"',
            NotFoundError,
            "does not exist",
        ),
        (
            "initializing source docker://docker.io/library/x:latest: reading manifest latest in "
            "docker.io/library/x: errors: denied: requested access to the resource is denied "
            "unauthorized: authentication required",
            UnavailableError,
            "does not let us",
        ),
        (
            "initializing source docker-archive:/etc/passwd: loading tar component manifest.json: "
            "archive/tar: invalid tar header",
            InvalidError,
            "malformed",
        ),
        ("something quite new", UnavailableError, "cannot be fetched: something quite new"),
    ],
)
def test_explained(text: str, kind: type[RoostError], words: str) -> None:
    """Each kind of failure has its class, its sentence and a hint."""
    error = explain("docker://host/x:1", LINE.format(text))
    assert kind is type(error)
    assert words in error.message
    assert "host/x:1" in error.message
    assert error.hint


def test_no_reason() -> None:
    """Silence is an error with a sentence, too."""
    assert "it gave no reason" in explain("docker://host/x:1", "").message


def test_own_store() -> None:
    """The destination is our own store; a user namespace may not keep owners."""
    root = Skopeo(program="skopeo", folder=Path("/home/images"), rootless=False)
    assert root.destination("n").startswith("containers-storage:[overlay@/home/images/storage+")
    assert "ignore_chown_errors" not in root.destination("n")
    user = Skopeo(program="skopeo", folder=Path("/home/images"), rootless=True)
    assert "ignore_chown_errors=true" in user.destination("n")
    assert "done" == user.environment()["_CONTAINERS_USERNS_CONFIGURED"]
