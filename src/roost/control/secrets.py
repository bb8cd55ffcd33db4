"""An app's secrets: encrypted values that its Machines get as environment when they start."""

from __future__ import annotations

import re
from collections.abc import Mapping

from roost.control.app_lookup import get_app, must_be_same
from roost.control.context import Context
from roost.control.numbers import Numbers
from roost.control.sealer import Sealer
from roost.control.sealing import NONCE, digest, seal, unseal
from roost.errors import ConflictError, InvalidError
from roost.model.records import Secret
from roost.store.base import Change, Delete, Put

MAX_VALUE = 64 * 1024
MAX_COUNT = 500
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_MAX_TRIES = 8


class Secrets:
    """List, set, remove and (for the agent) open secrets."""

    def __init__(self, context: Context, numbers: Numbers, sealer: Sealer) -> None:
        self._context = context
        self._store = context.store
        self._numbers = numbers
        self._sealer = sealer

    def list(self, app: str) -> list[Secret]:
        """An app's secrets by name, sealed. Raises NotFoundError."""
        name = get_app(self._store, app).name
        return [stored.record for stored in self._store.find(Secret, "app", name)]

    async def update(self, app: str, values: Mapping[str, str | None]) -> int:
        """Set values and remove those that are None, all or none; returns the new version.

        Running Machines see it when they are started next. Raises InvalidError (name, size,
        number), NotFoundError (app), UnavailableError (key file).
        """
        owner = get_app(self._store, app)
        name = owner.name
        for key, value in values.items():
            _check(key, value)
        version = await self._numbers.take(f"secret/{name}")
        for _ in range(_MAX_TRIES):
            self._check_count(name, values)
            must_be_same(self._context, owner)
            changes = [self._change(name, key, value, version) for key, value in values.items()]
            try:
                await self._store.commit(*changes)
            except ConflictError:
                continue
            return version
        raise ConflictError(f'secrets of app "{name}" are changed by too many', hint="try again")

    def reveal(self, app: str) -> dict[str, str]:
        """All values in clear, for the environment of a Machine.

        Raises NotFoundError, and UnavailableError when one cannot be opened.
        """
        return {
            secret.name: unseal(self._sealer.key, app, secret.name, secret.version, secret.sealed)
            for secret in self.list(app)
        }

    def _change(self, app: str, name: str, value: str | None, version: int) -> Change:
        stored = self._store.get(Secret, f"{app}/{name}")
        expect = stored.revision if stored else 0
        if value is None:
            return Delete(Secret, f"{app}/{name}", expect=expect)
        key = self._sealer.key
        now = self._context.clock.now_ms()
        secret = Secret(
            app=app,
            name=name,
            sealed=seal(key, app, name, version, value=value, nonce=self._context.random(NONCE)),
            digest=digest(key, app, name, value),
            version=version,
            created_at=stored.record.created_at if stored else now,
            updated_at=now,
        )
        return Put(secret, expect=expect)

    def _check_count(self, app: str, values: Mapping[str, str | None]) -> None:
        names = {secret.name for secret in self.list(app)}
        names |= {name for name, value in values.items() if value is not None}
        if len(names) > MAX_COUNT:
            raise InvalidError(f'app "{app}" would have more than {MAX_COUNT} secrets')


def _check(name: str, value: str | None) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidError(
            f"secret name {name!r} is not valid",
            hint="use letters, digits and underscores, not starting with a digit",
        )
    if name.startswith("FLY_"):
        raise InvalidError(f"secret name {name!r} is reserved: FLY_ names are set by Roost")
    if value is not None and ("\0" in value or len(value.encode()) > MAX_VALUE):
        raise InvalidError(
            f"the value of secret {name} is not possible",
            hint=f"it may have at most {MAX_VALUE} bytes and no NUL",
        )
