"""Finding an app by name: the one place that says what is wrong when there is none."""

from __future__ import annotations

from roost.control.context import Context
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


def must_be_same(context: Context, app: App) -> None:
    """Asked right before a commit that writes under an app's name, after anything that took time:
    meanwhile the app may have been destroyed, and another organization may have made one of that
    name. Raises NotFoundError then, and ConflictError while the app is being destroyed.
    """
    if get_app(context.store, app.name).number != app.number:
        raise app_not_found(app.name)
    context.closing.refuse(app.name)
