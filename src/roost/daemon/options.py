"""What `roost up` can be told, from arguments and the environment, before anything is started."""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path

from roost.agent.parts import DEFAULT_PREPARED
from roost.api.tls import TlsFiles
from roost.control.public_pool import PublicPool, parse_pool
from roost.daemon import proxy_limits
from roost.errors import InvalidError
from roost.plan.wake_budget import MIB
from roost.spec import durations, sizes

DEFAULT_REGION = "local"
_REGION = re.compile(r"[a-z][a-z0-9]{1,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of one daemon."""

    region: str
    listen: tuple[tuple[str, int], ...]
    tls: TlsFiles | None
    prepared: int
    host_paths: tuple[str, ...]
    wake_timeout_ms: int
    canary_every: float
    """Seconds; 0 is never."""
    verbose: bool
    public: PublicPool
    wakes_at_once: int | None
    """None: by the number of cores."""
    memory_floor: int | None
    """Bytes; None: by the host's memory, 0: memory is not looked at."""
    proxy_limits: dict[str, int]
    """Settings for the proxy's `hello`."""


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
        help="also serve the API on a loopback address over plain HTTP, for example "
        "127.0.0.1:4280, or with --tls-cert and --tls-key on any address over HTTPS (default: "
        "only the Unix socket in ROOST_HOME/run)",
    )
    parser.add_argument(
        "--tls-cert",
        default=env.get("ROOST_TLS_CERT", ""),
        metavar="FILE",
        help="certificate with its chain (PEM) for all --listen addresses; a renewed file is "
        "taken over within half a minute (ROOST_TLS_CERT)",
    )
    parser.add_argument(
        "--tls-key",
        default=env.get("ROOST_TLS_KEY", ""),
        metavar="FILE",
        help="private key (PEM, not encrypted) of --tls-cert (ROOST_TLS_KEY)",
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
        "--public-pool",
        action="append",
        default=[word for word in env.get("ROOST_PUBLIC_POOL", "").split(",") if word],
        metavar="NETWORK",
        help="public addresses, routed to this host, that apps may be given: such as "
        "203.0.113.8/29 or 2001:db8:7::/64 (repeatable; ROOST_PUBLIC_POOL, separated by commas)",
    )
    parser.add_argument(
        "--public-domain",
        default=env.get("ROOST_PUBLIC_DOMAIN", ""),
        metavar="NAME",
        help="apps that share the pool's first IPv4 address are called <app>.NAME "
        "(ROOST_PUBLIC_DOMAIN)",
    )
    parser.add_argument(
        "--canary-every",
        default=env.get("ROOST_CANARY_EVERY", "5m"),
        metavar="TIME",
        help="how often to try, from inside each network, what must be impossible; an alarm in "
        "the daemon's log tells of any success; 0 is never (default: %(default)s; "
        "ROOST_CANARY_EVERY)",
    )
    parser.add_argument(
        "--wakes-at-once",
        default=env.get("ROOST_WAKES_AT_ONCE", ""),
        metavar="NUMBER",
        help="how many stopped Machines are started at once when they are called; others wait in "
        "line (default: two for each core, and two; ROOST_WAKES_AT_ONCE)",
    )
    parser.add_argument(
        "--memory-floor",
        default=env.get("ROOST_MEMORY_FLOOR", ""),
        metavar="SIZE",
        help="no stopped Machine is woken when less memory than this would stay available; 0 is "
        "never to look (default: 256mb, at most a twentieth of the memory; ROOST_MEMORY_FLOOR)",
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[word for word in env.get("ROOST_LIMITS", "").split(",") if word],
        metavar="NAME=VALUE",
        help="one of the proxy's limits, such as head_timeout=10s or max_connections_source=500; "
        "docs/limits.md has them all (repeatable; ROOST_LIMITS, separated by commas)",
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
    tls = _tls(arguments.tls_cert, arguments.tls_key)
    return Options(
        region=arguments.region,
        listen=tuple(_address(text, tls=tls is not None) for text in arguments.listen),
        tls=tls,
        prepared=arguments.prepared,
        host_paths=tuple(arguments.host_path),
        wake_timeout_ms=_wake_timeout(arguments.wake_timeout),
        canary_every=_canary_every(arguments.canary_every),
        verbose=arguments.verbose,
        public=parse_pool(arguments.public_pool, arguments.public_domain),
        wakes_at_once=_wakes_at_once(arguments.wakes_at_once),
        memory_floor=_memory_floor(arguments.memory_floor),
        proxy_limits=proxy_limits.parse(arguments.limit),
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


def _wakes_at_once(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise InvalidError(f"--wakes-at-once {text!r} is not a number from 1 to 10000")
    return int(text)


def _memory_floor(text: str) -> int | None:
    return sizes.memory_mb(text) * MIB if text else None


def _tls(certificate: str, key: str) -> TlsFiles | None:
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise InvalidError("--tls-cert and --tls-key go together", hint="give both, or neither")
    for flag, text in (("--tls-cert", certificate), ("--tls-key", key)):
        if not Path(text).is_absolute():
            raise InvalidError(
                f"{flag} {text!r} is not an absolute path",
                hint="the daemon does not run in this folder",
            )
    return TlsFiles(Path(certificate), Path(key))


def _address(text: str, *, tls: bool) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    host = "127.0.0.1" if host == "localhost" else host
    if not port.isdigit() or not 0 <= int(port) <= 65535:
        raise InvalidError(f"--listen {text!r} is not HOST:PORT")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise InvalidError(
            f"--listen {text!r} has no IP address", hint="such as 127.0.0.1:4280 or [::]:4280"
        ) from None
    if not address.is_loopback and not tls:
        raise InvalidError(
            f"--listen {text!r} is not a loopback address",
            hint="plain HTTP would show tokens to the network: give --tls-cert FILE and "
            "--tls-key FILE, or put a TLS proxy in front of 127.0.0.1",
        )
    return host, int(port)
