"""Holding on to one app through long work: a later app of its name is another one.

A deploy waits for images and Machines. Meanwhile its app may be destroyed, and another
organization may make one of that name; nothing of the deploy must end there. So before each thing
that it changes it looks whether the name still means its app. The look and the start of the call
that follows are one step of the event loop; what takes time inside of the call looks again itself.
"""

from __future__ import annotations

from roost.control.app_lookup import app_not_found, must_be_same
from roost.control.service import Control
from roost.errors import ConflictError, NotFoundError
from roost.model.records import App


class Pin:
    """One app."""

    def __init__(self, control: Control, app: App) -> None:
        self._context = control.context
        self.app = app

    @classmethod
    def of(cls, control: Control, name: str, number: int | None) -> Pin:
        """The app of this name, which must have this number when one is given.

        Raises NotFoundError.
        """
        app = control.apps.get(name)
        if number not in (None, app.number):
            raise app_not_found(name)
        return cls(control, app)

    def check(self) -> None:
        """Raises NotFoundError when the app is gone, or another one has its name, and ConflictError
        while it is being destroyed.
        """
        must_be_same(self._context, self.app)

    def holds(self) -> bool:
        """Whether the name still means this app."""
        try:
            self.check()
        except (NotFoundError, ConflictError):
            return False
        return True
