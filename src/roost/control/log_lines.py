"""Lines of an app's log: from conmon's k8s-file format and from Roost's own JSON lines. Pure.

conmon writes `<RFC 3339 time> stdout|stderr F|P message`; the next line of the same stream goes
on from a `P` line.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

MAX_MESSAGE = 64 * 1024
"""Characters of one message; what is beyond is cut off."""
_CONMON = re.compile(r"(\S+) (stdout|stderr) ([FP])(?: (.*))?", re.DOTALL)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line: when (nanoseconds since the epoch), of which Machine (`instance`, maybe ""), by
    whom (`source`: app, runner, proxy, health) and, for errors, with which code.
    """

    at_ns: int
    app: str
    message: str
    instance: str = ""
    region: str = ""
    level: str = "info"
    source: str = "app"
    code: str | None = None

    @property
    def timestamp(self) -> str:
        """RFC 3339 in UTC with nanoseconds."""
        return format_time(self.at_ns)


def format_time(at_ns: int) -> str:
    """RFC 3339 in UTC with nanoseconds."""
    seconds, fraction = divmod(at_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def parse_time(text: str) -> int | None:
    """Nanoseconds since the epoch of an RFC 3339 time; None when it is none."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(match[1] + match[3])
    except ValueError:
        return None
    return int(moment.timestamp()) * 1_000_000_000 + int((match[2] or "").ljust(9, "0"))


def parse_platform(app: str, text: str) -> LogLine | None:
    """A line that AppLogs.write wrote; None when it is damaged."""
    try:
        data = json.loads(text)
        return LogLine(
            at_ns=int(data["at_ns"]),
            app=app,
            message=str(data["message"]),
            instance=str(data.get("instance", "")),
            region=str(data.get("region", "")),
            level=str(data.get("level", "info")),
            source=str(data.get("source", "runner")),
            code=data.get("code"),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def format_platform(line: LogLine) -> str:
    """The JSON text of a line, to be parsed by `parse_platform`."""
    data = {
        "at_ns": line.at_ns,
        "message": line.message,
        "instance": line.instance,
        "region": line.region,
        "level": line.level,
        "source": line.source,
        "code": line.code,
    }
    return json.dumps({key: value for key, value in data.items() if value not in (None, "")})


@dataclass(slots=True)
class OutputJoiner:
    """Puts the pieces of one Machine's output together, for each stream by itself."""

    app: str
    machine: str
    region: str
    _pieces: dict[str, str] = field(default_factory=dict)

    def feed(self, text: str) -> LogLine | None:
        """The line that `text` completes; None for a piece of one or for something else."""
        match = _CONMON.fullmatch(text)
        at_ns = parse_time(match[1]) if match else None
        if match is None or at_ns is None:
            return None
        stream, flag = match[2], match[3]
        message = (self._pieces.pop(stream, "") + (match[4] or ""))[:MAX_MESSAGE]
        if flag == "P":
            self._pieces[stream] = message
            return None
        return LogLine(
            at_ns=at_ns, app=self.app, message=message, instance=self.machine, region=self.region
        )
