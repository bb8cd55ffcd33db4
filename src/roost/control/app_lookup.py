"""Finding an app by name: the one place that says what is wrong when there is none."""

from __future__ import annotations

from roost.errors import NotFoundError
from roost.model.records import App
from roost.store.base import Store, Stored


def app_not_found(name: str) -> NotFoundError:
    """The error for an app that does not exist, or that the caller may not know of."""
    return NotFoundError(
        f'app "{name}" not found',
        hint="`roost apps list` shows those that exist, `roost apps create` makes one",
    )


def find_app(store: Store, name: str) -> Stored[App]:
    """The app with its revision. Raises NotFoundError (`app "x" not found`)."""
    stored = store.get(App, name)
    if stored is None:
        raise app_not_found(name)
    return stored


def get_app(store: Store, name: str) -> App:
    """The app. Raises NotFoundError (`app "x" not found`)."""
    return find_app(store, name).record


def must_be_same(store: Store, app: App) -> None:
    """Raises NotFoundError unless the app of this name is still this one: asked right before a
    commit that writes under the name, after anything that took time. Meanwhile it may have been
    destroyed, and another organization may have made one of that name.
    """
    if get_app(store, app.name).number != app.number:
        raise app_not_found(app.name)
