"""Logs: written, merged, cut off, followed through rotation."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.control.log_lines import (
    LogLine,
    OutputJoiner,
    format_platform,
    format_time,
    parse_platform,
    parse_time,
)
from roost.control.log_tail import FileTail
from roost.control.logs import MAX_PLATFORM, AppLogs
from roost.home import Home
from tests.support.control_bench import FakeClock

SECOND = 1_000_000_000
PATIENCE = 20
"""Seconds after which a line that does not come is a failure instead of a hang."""


def conmon(seconds: int, message: str, flag: str = "F", stream: str = "stdout") -> str:
    return f"{format_time(seconds * SECOND)} {stream} {flag} {message}\n"


class Logs(AppLogs):
    """App logs below a temporary folder, with their clock."""

    def __init__(self, root: Path) -> None:
        self.clock = FakeClock()
        self.home = Home(root)
        super().__init__(self.home, self.clock, region="local")

    def output(self, machine: str, text: str, app: str = "web") -> Path:
        """What conmon would have added."""
        path = self.home.machine_log(app, machine)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)
        return path


@given(at=st.integers(min_value=0, max_value=4_000_000_000 * SECOND))
def test_times_round_trip(at: int) -> None:
    """To the nanosecond."""
    assert parse_time(format_time(at)) == at


def test_times_of_other_zones_and_precisions() -> None:
    """conmon writes the local offset; less than nanoseconds is allowed; nonsense is None."""
    assert parse_time("1970-01-01T02:00:01.5+02:00") == SECOND + SECOND // 2
    assert parse_time("1970-01-01T00:00:01Z") == SECOND
    for text in ("", "yesterday", "1970-13-01T00:00:01Z", "1970-01-01 00:00:01Z"):
        assert parse_time(text) is None


def test_pieces_are_joined_per_stream() -> None:
    """P lines wait for their F line; the other stream does not disturb them."""
    joiner = OutputJoiner("web", "m1", "local")
    texts = [
        conmon(1, "one ", "P"),
        conmon(2, "error", stream="stderr"),
        conmon(3, "line", "F"),
        "garbage\n",
        f"{format_time(SECOND)} stdout F\n",
    ]
    lines = [joiner.feed(text.removesuffix("\n")) for text in texts]
    assert [line.message if line else None for line in lines] == [
        None,
        "error",
        "one line",
        None,
        "",
    ]


def test_an_endless_line_is_cut() -> None:
    """Pieces without an end do not grow without bounds."""
    joiner = OutputJoiner("web", "m1", "local")
    for _ in range(20):
        assert joiner.feed(conmon(1, "x" * 8192, "P").removesuffix("\n")) is None
    line = joiner.feed(conmon(1, "end").removesuffix("\n"))
    assert line is not None
    assert len(line.message) == 64 * 1024


def test_platform_lines_round_trip() -> None:
    """All fields come back; a damaged line is left out."""
    line = LogLine(at_ns=5, app="web", message="m\n", instance="i", source="proxy", code="PR03")
    assert parse_platform("web", format_platform(line)) == line
    for text in ("", "{", "[]", "1", '{"message": "x"}'):
        assert parse_platform("web", text) is None


def test_output_and_platform_are_merged_by_time(tmp_path: Path) -> None:
    """Machines' lines and Roost's own come in order, the newest last, at most `limit`."""
    logs = Logs(tmp_path)
    start = logs.clock.ms // 1000
    logs.output("m1", conmon(start - 2, "first") + conmon(start + 2, "third"))
    logs.output("m2", conmon(start + 3, "fourth"))
    logs.write("web", "second", machine="m1", source="proxy", level="error", code="PM05")
    lines = logs.read("web", limit=10)
    assert [line.message for line in lines] == ["first", "second", "third", "fourth"]
    assert [(line.source, line.instance) for line in lines[:2]] == [("app", "m1"), ("proxy", "m1")]
    assert (lines[1].level, lines[1].code, lines[1].region) == ("error", "PM05", "local")
    assert [line.message for line in logs.read("web", limit=2)] == ["third", "fourth"]
    assert logs.read("web", limit=0) == []
    assert logs.read("none", limit=5) == []


def test_one_machine_only(tmp_path: Path) -> None:
    """Its output and what Roost says about it; `tail` is the output alone."""
    logs = Logs(tmp_path)
    logs.output("m1", conmon(1, "mine") + conmon(2, "mine, too"))
    logs.output("m2", conmon(3, "other"))
    logs.write("web", "about me", machine="m1")
    logs.write("web", "about all")
    read = [line.message for line in logs.read("web", machine="m1", limit=9)]
    assert read == ["mine", "mine, too", "about me"]
    assert logs.tail("web", "m1", 1) == ["mine, too"]
    assert logs.tail("web", "../m1", 1) == []
    assert logs.tail("web", "none", 1) == []


def test_the_platform_log_is_bounded(tmp_path: Path) -> None:
    """It is moved aside when full; both files together stay small, and are private."""
    logs = Logs(tmp_path)
    for number in range(60):
        logs.write("web", f"{number} " + "x" * 60_000)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "logs" / "web").iterdir()}
    assert set(sizes) == {"platform.jsonl", "platform.jsonl.1"}
    assert max(sizes.values()) < MAX_PLATFORM + 64 * 1024
    mode = stat.S_IMODE(logs.home.platform_log("web").stat().st_mode)
    assert mode == 0o600


def test_a_log_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """A Machine must not fail because a disk is full."""
    (tmp_path / "logs").write_text("in the way")
    Logs(tmp_path).write("web", "lost")


def test_follow_begins_with_the_backlog_and_misses_nothing(tmp_path: Path) -> None:
    """Last lines first, then each new one once: of known files, new ones, and Roost's own."""
    logs = Logs(tmp_path)
    path = logs.output("m1", conmon(1, "old") + conmon(2, "last") + "2024-01-01T00:00")

    async def check() -> None:
        stream = aiter(logs.follow("web", backlog=1))
        assert (await anext(stream)).message == "last"
        with path.open("a") as file:
            file.write(":00Z stdout F completed\n")
        assert (await anext(stream)).message == "completed"
        logs.output("m2", conmon(5, "new file"))
        assert (await anext(stream)).message == "new file"
        logs.write("web", "platform")
        assert (await anext(stream)).message == "platform"

    asyncio.run(asyncio.wait_for(check(), PATIENCE))


def test_follow_survives_rotation_and_truncation(tmp_path: Path) -> None:
    """The rest of the file that was moved aside comes before the new file's lines."""
    logs = Logs(tmp_path)
    path = logs.output("m1", conmon(1, "one"))

    async def check() -> None:
        stream = aiter(logs.follow("web", backlog=1))
        await anext(stream)
        logs.output("m1", conmon(2, "two"))
        path.rename(path.with_name(path.name + ".1"))
        logs.output("m1", conmon(3, "three"))
        assert [(await anext(stream)).message for _ in range(2)] == ["two", "three"]
        path.write_text("")
        logs.output("m1", conmon(4, "4"))
        assert (await anext(stream)).message == "4"

    asyncio.run(asyncio.wait_for(check(), PATIENCE))


def test_follow_ends_with_the_app(tmp_path: Path) -> None:
    """When the app's logs are removed, followers are let go."""
    logs = Logs(tmp_path)
    logs.output("m1", conmon(1, "one"))

    async def check() -> None:
        stream = logs.follow("web", backlog=1)
        seen = []
        async for line in stream:
            seen.append(line.message)
            logs.output("m1", conmon(2, "two")) if len(seen) == 1 else logs.remove("web")
        assert seen == ["one", "two"]

    asyncio.run(asyncio.wait_for(check(), PATIENCE))


def test_forget_removes_one_machines_output(tmp_path: Path) -> None:
    """And nothing else, whatever the id looks like."""
    logs = Logs(tmp_path)
    logs.output("m1", conmon(1, "one"))
    logs.output("m2", conmon(1, "two"))
    logs.forget("web", "m1")
    logs.forget("web", "../web/m2")
    assert [line.message for line in logs.read("web", limit=9)] == ["two"]


def test_the_tail_of_a_large_file_is_read_by_its_end(tmp_path: Path) -> None:
    """Only whole lines of the last bytes; the place is behind the last complete line."""
    path = tmp_path / "f"
    path.write_text("".join(f"line {n}\n" for n in range(100)) + "half")
    tail = FileTail(path)
    assert tail.last(50, 26) == ["line 98", "line 99"]
    path.write_text(path.read_text() + " done\n")
    assert tail.more() == ["half done"]
    assert tail.more() == []


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """They are shown as replacement characters."""
    path = tmp_path / "f"
    path.write_bytes(b"\xff\n")
    assert FileTail(path).last(1, 100) == ["\ufffd"]
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode()
