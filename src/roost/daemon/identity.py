"""Who this host is: a number for 6PN addresses and an id for the API, kept in ROOST_HOME."""

from __future__ import annotations

import os
from pathlib import Path

from roost.control.host import HostIdentity
from roost.home import Home
from roost.model.addresses import FIRST_HOST

_MIB = 1 << 20


def identify(home: Home, region: str) -> HostIdentity:
    """This host. The id is 4 hex digits, made at random at the first start."""
    path = home.root / "host.id"
    if not path.exists():
        path.write_text(os.urandom(2).hex() + "\n")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return HostIdentity(
        number=FIRST_HOST,
        id=path.read_text().strip(),
        region=region,
        cpus=os.cpu_count() or 1,
        memory_mb=memory // _MIB,
    )


def resolvers(path: Path = Path("/etc/resolv.conf")) -> list[str]:
    """The host's own name servers (resolv.conf(5)), without zone ids, at most three."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    found = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
    return [item for item in found if "%" not in item][:3]
