"""Taking an address away: the changes that do it, all in one commit.

The app's record comes along, so that whoever watches the store knows whose address it was, and
how long its open connections may go on.
"""

from __future__ import annotations

from roost.model.grants import Grant, GrantEvent, transition
from roost.model.machine_config import MachineConfig
from roost.model.records import Address, App, Machine
from roost.spec import durations
from roost.store.base import Change, Delete, Put, Store, Stored

DEFAULT_DRAIN_MS = 5000


def release_changes(
    store: Store, address: Stored[Address], event: GrantEvent, *, now: int, actor: str
) -> list[Change]:
    """Delete the address, end its grant by `event`, and tell the app how long to drain."""
    record = address.record
    changes: list[Change] = [Delete(Address, record.key, expect=address.revision)]
    if record.grant and (grant := store.get(Grant, record.grant)) is not None:
        ended = grant.record.model_copy(
            update={
                "state": transition(grant.record.state, event),
                "decided_at": now,
                "decided_by": actor,
            }
        )
        changes.append(Put(ended, expect=grant.revision))
    app = store.get(App, record.app)
    if app is not None:
        drain = drain_ms(store, record.app)
        changes.append(Put(app.record.model_copy(update={"drain_ms": drain}), expect=app.revision))
    return changes


def drain_ms(store: Store, app: str) -> int:
    """The longest kill_timeout of an app's Machines; 5 s where none is set."""
    found = store.find(Machine, "app", app)
    return max((_kill_timeout(item.record.config) for item in found), default=DEFAULT_DRAIN_MS)


def _kill_timeout(config: MachineConfig) -> int:
    stop = config.stop_config
    if stop is None or stop.timeout is None:
        return DEFAULT_DRAIN_MS
    return durations.read(stop.timeout) // durations.MILLISECOND
