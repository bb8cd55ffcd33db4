"""Apps that are being destroyed: nothing new may come under their names.

With it a destroy can know that it has seen everything. It closes the app, and then waits for one
commit: the store makes commits in the order in which they were begun, so what others had begun to
write is visible by then, and nobody begins any more. Whoever writes under an app's name therefore
asks here in the step of the event loop in which it calls `commit`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from roost.errors import ConflictError


class Closing:
    """Names of apps, in this process only: after a crash the app is there, and open."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """While inside, the app is closed. Raises ConflictError when it is already."""
        self.refuse(name)
        self._names.add(name)
        try:
            yield
        finally:
            self._names.discard(name)

    def refuse(self, name: str) -> None:
        """Raises ConflictError when the app is closed."""
        if name in self._names:
            raise ConflictError(f'app "{name}" is being destroyed')
