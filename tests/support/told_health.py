"""The part of a fake host that knows what health checks say: the real board, told by the test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from roost.agent.health import HealthBoard
from roost.model.checks import CheckResult, named_checks
from roost.model.records import Machine


class ToldHealth:
    """What HostAgent says of health; `board` is the real one."""

    __slots__ = ()

    board: HealthBoard

    def health(self, machine_id: str, instance_id: str) -> Mapping[str, CheckResult]:
        """See HostAgent."""
        return self.board.of(machine_id, instance_id)

    async def health_changed(self) -> None:
        """See HostAgent."""
        await self.board.changed()

    def checked(self) -> Iterator[tuple[Machine, tuple[CheckResult, ...]]]:
        """None."""
        yield from ()

    def tell(self, machine: Machine, status: str, output: str = "said so") -> None:
        """All checks of the Machine have this status."""
        results = [
            {"name": one.name, "status": status, "output": output, "at": 1_764_150_000_000}
            for one in named_checks(machine.config)
        ]
        event = {"machine": machine.id, "instance": machine.instance_id, "results": results}
        self.board.take(event)
