"""Kernel settings of the calling thread's network namespace, under /proc/sys/net. Blocks."""

from __future__ import annotations

import os

from roost.errors import UnavailableError

IP_FORWARD = "ipv4/ip_forward"
IP6_FORWARDING = "ipv6/conf/all/forwarding"
ADDRESS_MODE = "ipv6/conf/default/addr_gen_mode"
PING_GROUPS = "ipv4/ping_group_range"
FIRST_FREE_PORT = "ipv4/ip_unprivileged_port_start"
BOUNDED_ERRORS = "ipv4/icmp_ratemask"
"""A bit for each type of ICMP message of which there may be so many a second to one address and in
all; before Linux 6.12 all namespaces of a host share that number.
"""
REFUSALS_UNBOUNDED = str(0x1818 & ~(1 << 3))
"""The usual types without "destination unreachable"."""

NO_ADDRESS = "1"
"""addr_gen_mode: links give themselves no fe80:: address."""
_HINT = "mount /proc/sys writable for Roost (`mount -o remount,rw /proc/sys`), or run it as root"


def write(name: str, value: str) -> None:
    """Set one value. Raises UnavailableError with the fix."""
    try:
        _write(name, value)
    except OSError as error:
        raise UnavailableError(
            f"cannot set /proc/sys/net/{name} to {value}: {error.strerror}", hint=_HINT
        ) from error


def read(name: str) -> str:
    """One value, "" where the kernel has no such setting."""
    try:
        fd = os.open(f"/proc/sys/net/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        return os.read(fd, 4096).decode().strip()
    finally:
        os.close(fd)


def open_ping() -> None:
    """Let every group use ping sockets; in a user namespace, where most are unmapped, group 0."""
    try:
        _write(PING_GROUPS, "0 2147483647")
    except OSError:
        write(PING_GROUPS, "0 0")


def _write(name: str, value: str) -> None:
    fd = os.open(f"/proc/sys/net/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
