"""Groups over plain folders: which files are written where."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.runtime.groups import Groups, group_name
from roost.runtime.hierarchy import CGROUP, CgroupMode, Hierarchy
from roost.runtime.limits import Limits

LIMITS = Limits(cpus=1, memory=1 << 20, pids=9)


def _hybrid(folder: Path) -> Hierarchy:
    v1 = {name: folder / name for name in ("memory", "pids")}
    for path in (folder / "unified", *v1.values()):
        path.mkdir()
    return Hierarchy(mode=CgroupMode.HYBRID, parent=folder / "unified", v1=v1)


def test_name_depends_on_the_home() -> None:
    """Two homes never share a group; one home always has the same."""
    assert group_name(Path("/a")) == group_name(Path("/a"))
    assert group_name(Path("/a")) != group_name(Path("/b"))
    assert len("roost-12345678") == len(group_name(Path("/a")))


def test_hybrid_places_the_process_last(tmp_path: Path) -> None:
    """Limits and the pid are in the container's own v1 groups, and nowhere else."""
    groups = Groups(_hybrid(tmp_path), Path("/a"))
    groups.setup()
    groups.place("m1", 4711, LIMITS)
    memory = tmp_path / "memory" / group_name(Path("/a")) / "m1"
    assert str(1 << 20) == (memory / "memory.limit_in_bytes").read_text()
    assert "4711" == (memory / "cgroup.procs").read_text()
    assert not (memory / "pids.max").exists()
    pids = tmp_path / "pids" / group_name(Path("/a")) / "m1" / "cgroup.procs"
    assert sorted([memory / "cgroup.procs", pids]) == sorted(groups.joinable("m1"))


def test_unified_leaves_placing_to_the_oci_runtime() -> None:
    """On v2 the path is below the delegated parent and nothing is written by us."""
    parent = CGROUP / "user.slice" / "delegated"
    groups = Groups(Hierarchy(mode=CgroupMode.UNIFIED, parent=parent), Path("/a"))
    assert f"/user.slice/delegated/{group_name(Path('/a'))}/m1" == groups.oci_path("m1")
    groups.place("m1", 4711, LIMITS)
    assert [] == groups.joinable("m1")


@pytest.mark.parametrize(
    ("v1_text", "v2_text", "expected"),
    [
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", "oom_kill 0\n", True),
        ("oom_kill 0\n", "oom_kill 3\n", False),
    ],
)
def test_oom_on_a_hybrid_host(
    tmp_path: Path, v1_text: str, v2_text: str, *, expected: bool
) -> None:
    """The v1 memory group tells of an out-of-memory kill, not the v2 one."""
    groups = Groups(_hybrid(tmp_path), Path("/a"))
    groups.setup()
    groups.place("m1", 1, LIMITS)
    name = group_name(Path("/a"))
    (tmp_path / "memory" / name / "m1" / "memory.oom_control").write_text(v1_text)
    (tmp_path / "unified" / name / "m1").mkdir()
    (tmp_path / "unified" / name / "m1" / "memory.events").write_text(v2_text)
    assert expected is groups.oom_killed("m1")


def test_memory_and_oom_on_a_unified_host(tmp_path: Path) -> None:
    """Both come from the v2 files; without a memory controller there is no figure."""
    groups = Groups(Hierarchy(mode=CgroupMode.UNIFIED, parent=tmp_path), Path("/a"))
    folder = tmp_path / group_name(Path("/a")) / "m1"
    folder.mkdir(parents=True)
    assert groups.memory("m1") is None
    (folder / "memory.current").write_text("4096\n")
    (folder / "memory.swap.current").write_text("8192\n")
    (folder / "memory.events").write_text("oom 1\noom_kill 1\n")
    assert (4096, 8192) == groups.memory("m1")
    assert groups.oom_killed("m1")


def test_no_cgroups_at_all(tmp_path: Path) -> None:
    """Without cgroups every call is harmless and tells nothing."""
    groups = Groups(Hierarchy(mode=CgroupMode.NONE), tmp_path)
    groups.setup()
    groups.place("m1", 1, LIMITS)
    groups.kill("m1")
    groups.remove("m1")
    groups.teardown()
    assert (None, False, [], None) == (
        groups.oci_path("m1"),
        groups.oom_killed("m1"),
        groups.pids("m1"),
        groups.memory("m1"),
    )
