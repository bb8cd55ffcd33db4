"""Store drivers behave like a dictionary with revisions, whatever is done to them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roost.errors import ConflictError
from roost.model.records import App
from roost.store.base import Change, Delete, Put, Store
from roost.store.memory import MemoryStore
from roost.store.sqlite import SqliteStore
from tests.support.store_records import app

T = TypeVar("T")

NAMES = st.sampled_from(["a", "b", "c", "é", "a/b"])
ORGS = st.sampled_from(["x", "y"])
EXPECTS = st.sampled_from(["any", "absent", "current", "wrong"])
CHANGES = st.lists(
    st.tuples(st.sampled_from(["put", "delete"]), NAMES, ORGS, EXPECTS), min_size=1, max_size=3
)


class StoreMachine(RuleBasedStateMachine):
    """Runs the same commits against the store and a dict of key → (record, revision)."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, tuple[App, int]] = {}
        self.revision = 0
        self.loop = asyncio.new_event_loop()
        self.store: Store

    def open(self) -> Store:
        """A new empty store, or the same again."""
        raise NotImplementedError

    def wait(self, job: Coroutine[Any, Any, T]) -> T:
        """Run on this machine's loop."""
        return self.loop.run_until_complete(job)

    @initialize()
    def begin(self) -> None:
        self.store = self.open()

    @rule(changes=CHANGES)
    def commit(self, changes: list[tuple[str, str, str, str]]) -> None:
        real = [self.change(*change) for change in changes]
        holds = all(change.expect is None or change.expect == self.found(change) for change in real)
        try:
            revision = self.wait(self.store.commit(*real))
        except ConflictError:
            assert not holds
            return
        assert holds
        self.revision += 1
        assert revision == self.revision
        for change in real:
            if isinstance(change, Put):
                assert isinstance(change.record, App)
                self.model[change.record.key] = (change.record, revision)
            else:
                self.model.pop(change.key, None)

    @invariant()
    def reads_agree(self) -> None:
        if not hasattr(self, "store"):
            return
        expected = [self.model[key] for key in sorted(self.model)]
        assert [(s.record, s.revision) for s in self.store.scan(App)] == expected
        for org in ("x", "y"):
            found = [(s.record, s.revision) for s in self.store.find(App, "org", org)]
            assert found == [pair for pair in expected if pair[0].org == org]
            assert self.store.count(App, "org", org) == len(found)
        assert self.store.revision() == self.revision

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.wait(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def change(self, verb: str, name: str, org: str, expect: str) -> Change:
        current = self.model[name][1] if name in self.model else 0
        number = {"any": None, "absent": 0, "current": current, "wrong": current + 1}[expect]
        return (
            Put(app(name, org=org), expect=number)
            if verb == "put"
            else Delete(App, name, expect=number)
        )

    def found(self, change: Change) -> int:
        key = change.record.key if isinstance(change, Put) else change.key
        return self.model[key][1] if key in self.model else 0


class MemoryMachine(StoreMachine):
    def open(self) -> Store:
        return MemoryStore()


class SqliteMachine(StoreMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="roost-store-"))

    def open(self) -> Store:
        return SqliteStore(self.folder / "roost.db")

    @rule()
    def reopen(self) -> None:
        """Closing and opening again loses nothing."""
        self.wait(self.store.close())
        self.store = self.open()

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


TestMemoryModel = MemoryMachine.TestCase
TestMemoryModel.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestSqliteModel = SqliteMachine.TestCase
TestSqliteModel.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
