"""A prober that only remembers: for tests of everything above this room."""

from __future__ import annotations

from collections.abc import Callable

from roost.canary.base import Attempt, Means, Outcome, Probed, Task


class FakeProber:
    """`Prober` in memory. `tasks` are those it was given; `answer` makes what it saw of one.

    By default every network's Flycast address answers one ping.
    """

    def __init__(self, answer: Callable[[Task], Probed] | None = None) -> None:
        self.tasks: list[Task] = []
        self.answer = answer or _healthy

    async def probe(self, task: Task) -> Probed:
        """Remember the task and answer."""
        self.tasks.append(task)
        return self.answer(task)


def _healthy(task: Task) -> Probed:
    return Probed(
        outcomes=tuple(
            Outcome(
                attempt=Attempt(
                    what="ping a Flycast address",
                    network=subject.id,
                    to=str(subject.router.flycast[1]),
                    means=Means.ICMP,
                ),
                wanted=True,
                happened=True,
            )
            for subject in task.subjects
        )
    )
