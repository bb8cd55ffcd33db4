"""What the proxy told of Machines' health checks: kept in memory, of each Machine's latest version.

Lost with the daemon: for Machines that run the proxy says everything again to a new agent; one that
sleeps has no result then until it is woken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from roost.model.checks import CheckResult, CheckStatus
from roost.proxyctl.client import Message

_NOTHING: Mapping[str, CheckResult] = {}


@dataclass(frozen=True, slots=True)
class _Told:
    instance: str
    results: Mapping[str, CheckResult]


class HealthBoard:
    """The newest results of each Machine."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}
        self._pulse = asyncio.Event()

    def of(self, machine_id: str, instance_id: str) -> Mapping[str, CheckResult]:
        """What was told of this version of a Machine, by the name of the check."""
        told = self._told.get(machine_id)
        return told.results if told is not None and told.instance == instance_id else _NOTHING

    async def changed(self) -> None:
        """Blocks until something else is told of any Machine."""
        await self._pulse.wait()

    def forget(self, machine_id: str) -> None:
        """The Machine is gone."""
        self._told.pop(machine_id, None)

    def take(self, event: Message) -> list[CheckResult]:
        """Take in a `checks` event. Returns the results that a reader of the app's log wants to
        know: a check failed, or passes. Raises KeyError or ValueError for one that makes no sense.
        """
        machine, instance = str(event["machine"]), str(event["instance"])
        old = self.of(machine, instance)
        new = {result.name: _since(old.get(result.name), result) for result in _results(event)}
        self._told[machine] = _Told(instance, {**old, **new})
        self._pulse.set()
        self._pulse = asyncio.Event()
        return [result for result in new.values() if _is_news(old.get(result.name), result)]


def _results(event: Message) -> Iterator[CheckResult]:
    for told in event["results"]:
        yield CheckResult(
            name=str(told["name"]),
            status=CheckStatus(told["status"]),
            output=str(told["output"]),
            at=int(told["at"]),
        )


def _since(old: CheckResult | None, new: CheckResult) -> CheckResult:
    """The result, with the time since when it is so: a new proxy counts from its own first run."""
    if old is None or old.status is not new.status:
        return new
    return replace(new, at=min(old.at, new.at))


def _is_news(old: CheckResult | None, new: CheckResult) -> bool:
    """Not that the checks of a Machine that came up begin anew: nothing was run yet."""
    if not new.output:
        return False
    return old is None or old.status is not new.status or not old.output
