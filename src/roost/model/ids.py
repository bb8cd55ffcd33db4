"""Names and ids: what they look like, how they are checked, how they are made.

Pure: random bytes and the time are arguments. Shapes follow Fly's documentation (a Machine id is
14 hex-looking characters, an instance id is a ULID).
"""

from __future__ import annotations

import re
from typing import NewType

from roost.errors import InvalidError

AppName = NewType("AppName", str)
MachineId = NewType("MachineId", str)
InstanceId = NewType("InstanceId", str)
NetworkId = NewType("NetworkId", int)
OrgSlug = NewType("OrgSlug", str)

DEFAULT_NETWORK = "default"
PERSONAL_ORG = OrgSlug("personal")

_APP = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NETWORK = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,62}")
_PROBE = "probe"
MAX_CALLERS = 256
"""Names in a list of apps that may call."""
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def app_name(text: str) -> AppName:
    """Check an app name: one DNS label of lower-case letters, digits and dashes, at most 63.

    Raises InvalidError.
    """
    if not _APP.fullmatch(text):
        raise InvalidError(
            f"app name {text!r} is not valid",
            hint="use 1 to 63 lower-case letters, digits and dashes, not starting or ending "
            "with a dash",
        )
    return AppName(text)


def caller_name(text: str) -> str:
    """Check the name of an app that may call: `app`, or `org/app` for one of another organization.

    Raises InvalidError.
    """
    for part in text.split("/", 1):
        app_name(part)
    return text


def full_caller_name(text: str, org: str) -> str:
    """`org/app` of a name in a list of an app of `org`. Pure."""
    return text if "/" in text else f"{org}/{text}"


def network_name(text: str) -> str:
    """Check a network name (letters, digits, dashes, a letter first); returns it lower-cased.

    `""` means the default network. Raises InvalidError.
    """
    if not text:
        return DEFAULT_NETWORK
    if not _NETWORK.fullmatch(text):
        raise InvalidError(
            f"network name {text!r} is not valid",
            hint="use letters, digits and dashes, starting with a letter, at most 63",
        )
    return text.lower()


def machine_id(random: bytes) -> MachineId:
    """Make a Machine id (14 hex characters) from at least 7 random bytes."""
    return MachineId(random[:7].hex())


def probe_id(network: int, point: int) -> MachineId:
    """The id under which a probe point (0 to 9) of a network is attached.

    It has a Machine id's length and letters that no Machine id has.
    """
    return MachineId(f"{_PROBE}{point}{network:08x}")


def is_probe(machine: str) -> bool:
    """Whether an id is a probe point's."""
    return machine.startswith(_PROBE)


def ulid(now_ms: int, random: bytes) -> str:
    """Make a ULID (26 characters, sorts by time) from milliseconds and 10 random bytes."""
    number = (now_ms & (1 << 48) - 1) << 80 | int.from_bytes(random[:10], "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
