"""Choosing the OCI runtime."""

from __future__ import annotations

import pytest

from roost.runtime.detect import choose, detect


@pytest.mark.parametrize(
    ("available", "prefer", "covered", "expected"),
    [
        (("crun", "runc"), "crun", True, "crun"),
        (("crun", "runc"), "runc", True, "runc"),
        (("crun", "runc"), "crun", False, "runc"),
        (("crun",), "crun", False, ""),
        (("runc",), "crun", True, "runc"),
        ((), "crun", True, ""),
    ],
)
def test_choose(available: tuple[str, ...], prefer: str, expected: str, *, covered: bool) -> None:
    """crun when it can work, runc where /sys/fs/cgroup is not v2, nothing when there is none."""
    assert expected == choose(available, prefer=prefer, covered=covered)


def test_detect_changes_nothing_and_explains() -> None:
    """Looking twice finds the same, and each finding says what to do."""
    found = detect()
    assert found == detect()
    assert all(finding.what and finding.fix for finding in found.findings)
    assert found.usable is bool(found.runtime and found.conmon)
