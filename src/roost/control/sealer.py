"""The key of this ROOST_HOME at work: what is sealed with it, it opens."""

from __future__ import annotations

from roost.control.context import Context
from roost.control.key_file import read_key
from roost.control.sealing import NONCE, seal_at, unseal_at


class Sealer:
    """Reads the key when it is first needed."""

    def __init__(self, context: Context) -> None:
        self._path = context.home.secret_key
        self._random = context.random
        self._key: bytes | None = None

    @property
    def key(self) -> bytes:
        """The key itself. Raises UnavailableError."""
        if self._key is None:
            self._key = read_key(self._path)
        return self._key

    def seal(self, place: str, value: str) -> str:
        """Sealed for this place only. Raises UnavailableError (key file)."""
        return seal_at(self.key, place, value=value, nonce=self._random(NONCE))

    def open(self, place: str, sealed: str, *, what: str) -> str:
        """What was sealed for this place; `what` names it in the error. Raises UnavailableError."""
        return unseal_at(self.key, place, sealed, what=what)
