"""What `roost up` can be told, from arguments and the environment, before anything is started."""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
from dataclasses import dataclass

from roost.agent.parts import DEFAULT_PREPARED
from roost.errors import InvalidError
from roost.spec import durations

DEFAULT_REGION = "local"
_REGION = re.compile(r"[a-z][a-z0-9]{1,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of one daemon."""

    region: str
    listen: tuple[tuple[str, int], ...]
    prepared: int
    host_paths: tuple[str, ...]
    wake_timeout_ms: int
    canary_every: float
    """Seconds; 0 is never."""
    verbose: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `up` (and of the inner `run`)."""
    env = os.environ
    parser.add_argument(
        "--region",
        default=env.get("ROOST_REGION", DEFAULT_REGION),
        help="region code of this host (default: %(default)s; ROOST_REGION)",
    )
    parser.add_argument(
        "--listen",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="also serve the API over plain HTTP on a loopback address, for example "
        "127.0.0.1:4280 (default: only the Unix socket in ROOST_HOME/run)",
    )
    parser.add_argument(
        "--prepared",
        type=int,
        default=int(env.get("ROOST_PREPARED", DEFAULT_PREPARED)),
        help="how many stopped Machines get their next container made ahead of time "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--host-path",
        action="append",
        default=[path for path in env.get("ROOST_HOST_PATHS", "").split(":") if path],
        metavar="DIR",
        help="show one more host folder, read-only, in Machines on roost/host (repeatable; "
        "ROOST_HOST_PATHS)",
    )
    parser.add_argument(
        "--wake-timeout",
        default=env.get("ROOST_WAKE_TIMEOUT", "60s"),
        help="how long a connection waits for a Machine to wake, or in the queue at the hard "
        "limit (default: %(default)s)",
    )
    parser.add_argument(
        "--canary-every",
        default=env.get("ROOST_CANARY_EVERY", "5m"),
        metavar="TIME",
        help="how often to try, from inside each network, what must be impossible; an alarm in "
        "the daemon's log tells of any success; 0 is never (default: %(default)s; "
        "ROOST_CANARY_EVERY)",
    )
    parser.add_argument("--verbose", action="store_true", help="log each step")


def parse(arguments: argparse.Namespace) -> Options:
    """Check them. Raises InvalidError."""
    if not _REGION.fullmatch(arguments.region):
        raise InvalidError(
            f"region {arguments.region!r} is not valid",
            hint="use lower-case letters and digits, for example ams",
        )
    if not 0 <= arguments.prepared <= 1000:
        raise InvalidError("--prepared takes a number from 0 to 1000")
    return Options(
        region=arguments.region,
        listen=tuple(_address(text) for text in arguments.listen),
        prepared=arguments.prepared,
        host_paths=tuple(arguments.host_path),
        wake_timeout_ms=_wake_timeout(arguments.wake_timeout),
        canary_every=_canary_every(arguments.canary_every),
        verbose=arguments.verbose,
    )


def _wake_timeout(text: str) -> int:
    milliseconds = round(durations.seconds(text) * 1000)
    if not 100 <= milliseconds <= 600_000:
        raise InvalidError(f"--wake-timeout {text!r} is not between 100ms and 10m")
    return milliseconds


def _canary_every(text: str) -> float:
    seconds = durations.seconds(text)
    if seconds != 0 and not 1 <= seconds <= 86_400:
        raise InvalidError(f"--canary-every {text!r} is neither 0 nor between 1s and 24h")
    return seconds


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit() or not 0 <= int(port) <= 65535:
        raise InvalidError(f"--listen {text!r} is not HOST:PORT")
    try:
        loopback = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise InvalidError(
            f"--listen {text!r} is not a loopback address",
            hint="plain HTTP would show tokens to the network; put a TLS proxy in front of "
            "127.0.0.1",
        )
    return ("127.0.0.1" if host == "localhost" else host), int(port)
