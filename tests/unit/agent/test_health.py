"""What the agent keeps of health checks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roost.agent.health import HealthBoard
from roost.model.checks import CheckStatus


def told(
    status: str, output: str = "why", *, name: str = "web", instance: str = "1", at: int = 7
) -> Any:
    """A `checks` event of Machine m."""
    result = {"name": name, "status": status, "output": output, "at": at}
    return {"ev": "checks", "machine": "m", "instance": instance, "results": [result]}


def test_news_are_failures_and_passes() -> None:
    """Told are changes, and the first result after a start; not that checks begin anew."""
    board = HealthBoard()
    story = [
        (told("critical", ""), []),
        (told("critical"), ["critical"]),
        (told("critical", "other"), []),
        (told("passing"), ["passing"]),
        (told("critical", ""), []),
        (told("passing"), ["passing"]),
        (told("critical"), ["critical"]),
    ]
    for event, news in story:
        assert [result.status for result in board.take(event)] == news


def test_results_are_of_one_version() -> None:
    """Results of another version do not count, and those of several checks add up."""
    board = HealthBoard()
    board.take(told("passing"))
    board.take(told("critical", name="db"))
    assert {name: result.status for name, result in board.of("m", "1").items()} == {
        "web": CheckStatus.PASSING,
        "db": CheckStatus.CRITICAL,
    }
    assert board.of("m", "2") == {}
    board.take(told("critical", instance="2"))
    assert list(board.of("m", "2")) == ["web"]
    board.forget("m")
    assert board.of("m", "2") == {}


def test_the_time_is_that_of_the_change() -> None:
    """A new proxy's first run changes nothing where the status is what it was."""
    board = HealthBoard()
    for status, at, since in [
        ("passing", 5, 5),
        ("passing", 9, 5),
        ("critical", 11, 11),
        ("critical", 12, 11),
        ("passing", 13, 13),
    ]:
        board.take(told(status, at=at))
        assert board.of("m", "1")["web"].at == since


def test_a_status_that_is_none_changes_nothing() -> None:
    """An event that makes no sense is an error, and what was known stays."""
    board = HealthBoard()
    board.take(told("passing"))
    with pytest.raises(ValueError, match="fine"):
        board.take(told("fine"))
    assert board.of("m", "1")["web"].status is CheckStatus.PASSING


def test_whoever_waits_hears_of_each_change() -> None:
    """Everybody who waits is woken by one event."""

    async def story() -> None:
        board = HealthBoard()
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(board.changed()) for _ in range(2)]
            await asyncio.sleep(0)
            board.take(told("passing"))
        assert all(task.done() for task in waiting)

    asyncio.run(story())
