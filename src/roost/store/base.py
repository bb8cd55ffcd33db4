"""What the control plane needs of a store: revisioned records, compare-and-set, watch.

Guarantees every driver gives (the contract suite in tests/contract/test_store.py checks them):

- *Atomic:* a commit applies all of its changes or none.
- *Durable:* when commit returns, a crash or power loss cannot undo it.
- *Compare-and-set:* a change whose `expect` differs from the stored revision fails the commit.
- *Ordered:* revisions grow by one per commit; a watch sees every commit once, in order. Commits
  are made in the order in which they were begun, so when one returns, all that were begun before
  it are visible.
- *Bounded memory:* nothing but what is asked for is loaded; `scan` pages through a kind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from roost.model.records import Record

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Stored(Generic[R]):
    """A record and the revision of the commit that wrote it."""

    record: R
    revision: int


@dataclass(frozen=True, slots=True)
class Put:
    """Write a record. `expect`: None any revision, 0 must not exist, n must be at revision n."""

    record: Record
    expect: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a record; missing is fine unless `expect` is given."""

    kind: type[Record]
    key: str
    expect: int | None = None


Change = Put | Delete


@dataclass(frozen=True, slots=True)
class Commit:
    """What a watch yields: one commit's revision and changes."""

    revision: int
    changes: tuple[Change, ...]


class Store(Protocol):
    """Reads are synchronous (microseconds, never touch the network); commits are awaited."""

    def get(self, kind: type[R], key: str) -> Stored[R] | None:
        """One record, or None."""
        ...

    def find(
        self, kind: type[R], index: str, value: str, *, after: str = "", limit: int | None = None
    ) -> list[Stored[R]]:
        """Records whose index has this value, ordered by key, keys greater than `after`."""
        ...

    def scan(
        self, kind: type[R], *, after: str = "", limit: int | None = None
    ) -> Iterator[Stored[R]]:
        """All records of a kind ordered by key, read in pages: memory stays bounded."""
        ...

    def count(self, kind: type[Record], index: str | None = None, value: str = "") -> int:
        """How many records of a kind (with this index value)."""
        ...

    def revision(self) -> int:
        """Revision of the newest commit (0: empty store)."""
        ...

    async def commit(self, *changes: Change) -> int:
        """Apply all changes atomically and durably; returns the new revision.

        Raises ConflictError (nothing written) when an `expect` does not hold. Concurrent callers
        may share one disk flush.
        """
        ...

    def watch(self, after: int) -> AsyncIterator[Commit]:
        """Commits made by this process with a revision greater than `after`, as they happen.

        Raises ConflictError when `after` is older than the bounded history (re-scan then).
        """
        ...

    async def close(self) -> None:
        """Finish pending commits and release the files."""
        ...
