"""Finding an app by name: the one place that says what is wrong when there is none."""

from __future__ import annotations

from roost.errors import NotFoundError
from roost.model.records import App
from roost.store.base import Store, Stored


def find_app(store: Store, name: str) -> Stored[App]:
    """The app with its revision. Raises NotFoundError (`app "x" not found`)."""
    stored = store.get(App, name)
    if stored is None:
        raise NotFoundError(
            f'app "{name}" not found',
            hint="`roost apps list` shows those that exist, `roost apps create` makes one",
        )
    return stored


def get_app(store: Store, name: str) -> App:
    """The app. Raises NotFoundError (`app "x" not found`)."""
    return find_app(store, name).record
