"""Reading what cgroups a host has."""

from __future__ import annotations

from pathlib import Path

from roost.runtime.hierarchy import CgroupMount, own_v2_path, parse_mounts

HYBRID = """\
25 20 0:22 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
26 25 0:23 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
27 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
28 25 0:25 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
29 25 0:26 / /sys/fs/with\\040space rw,relatime - cgroup cgroup rw,memory
"""


def test_hybrid_mounts() -> None:
    """v1 mounts are found with the controllers we use, escaped paths read, others ignored."""
    none: frozenset[str] = frozenset()
    assert [
        CgroupMount(target=Path("/sys/fs/cgroup/unified"), version=2, controllers=none),
        CgroupMount(
            target=Path("/sys/fs/cgroup/cpu,cpuacct"), version=1, controllers=frozenset({"cpu"})
        ),
        CgroupMount(target=Path("/sys/fs/cgroup/systemd"), version=1, controllers=none),
        CgroupMount(
            target=Path("/sys/fs/with space"), version=1, controllers=frozenset({"memory"})
        ),
    ] == parse_mounts(HYBRID)


def test_own_path() -> None:
    """The v2 line is found among v1 ones; without one we are at the root."""
    assert "/user.slice/a.scope" == own_v2_path("3:cpu:/x\n0::/user.slice/a.scope\n")
    assert "/" == own_v2_path("3:cpu:/x\n")
