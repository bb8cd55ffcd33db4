"""One Roost per test module, and a Machine to call from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.host import why_not_root
from tests.support.rig import Caller, Rig


@pytest.fixture(scope="module")
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A running Roost; a module may set FLAGS for `roost up`."""
    if reason := why_not_root():
        pytest.skip(reason)
    made = Rig(*getattr(request.module, "FLAGS", ()))
    made.up()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def caller(rig: Rig) -> Caller:
    """A Machine on the default network to call from."""
    return rig.caller("caller")
