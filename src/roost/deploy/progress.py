"""What a deploy says while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import JsonValue

from roost.errors import RoostError


class ProgressType(StrEnum):
    """`done` or `failed` is the last one."""

    INFO = "info"
    STEP = "step"
    WARNING = "warning"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One event; `data` holds what programs want to know (ids, version, exit code, output)."""

    type: ProgressType
    message: str
    data: Mapping[str, JsonValue] = field(default_factory=dict)

    def to_json(self) -> dict[str, JsonValue]:
        """One object: type, message, and the entries of `data` beside them."""
        return {**self.data, "type": str(self.type), "message": self.message}


@dataclass(frozen=True, slots=True)
class Reporter:
    """Says things; never blocks and never raises."""

    say: Callable[[Progress], None]

    def info(self, message: str, **data: JsonValue) -> None:
        """Something that is good to know."""
        self.say(Progress(type=ProgressType.INFO, message=message, data=data))

    def step(self, message: str, **data: JsonValue) -> None:
        """Something that begins now."""
        self.say(Progress(type=ProgressType.STEP, message=message, data=data))

    def warning(self, message: str) -> None:
        """Something the user should look at."""
        self.say(Progress(type=ProgressType.WARNING, message=message))

    def done(self, message: str, **data: JsonValue) -> None:
        """The end: it worked."""
        self.say(Progress(type=ProgressType.DONE, message=message, data=data))

    def failed(self, error: RoostError, **data: JsonValue) -> None:
        """The end: it did not work."""
        details: dict[str, JsonValue] = {**data, "status": error.code}
        if error.hint:
            details["hint"] = error.hint
        if isinstance(error, MachineFailedError):
            details |= error.data()
        self.say(Progress(type=ProgressType.FAILED, message=error.message, data=details))


class MachineFailedError(RoostError):
    """A Machine did not come up, or ended by itself soon after."""

    default_code = "machine_failed"

    def __init__(
        self,
        message: str,
        *,
        machine: str,
        exit_code: int | None = None,
        output: tuple[str, ...] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.machine = machine
        self.exit_code = exit_code
        self.output = output

    def data(self) -> dict[str, JsonValue]:
        """For the `failed` event."""
        return {
            "machine": self.machine,
            "exit_code": self.exit_code,
            "output": list(self.output),
        }
