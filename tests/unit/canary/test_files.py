"""Where a file of ours could show through somebody's mounts."""

from __future__ import annotations

from pathlib import Path

from roost.canary.files import places, read_mounts

OURS = read_mounts(
    """22 1 8:1 / / rw,relatime - ext4 /dev/root rw
30 22 8:2 /volumes/a /var/lib rw - ext4 /dev/sdb rw
31 30 0:40 / /var/lib/roost/run rw - tmpfs tmpfs rw
"""
)
TOKEN = Path("/var/lib/roost/token")


def test_its_own_path_is_always_looked_at() -> None:
    """Also when no mount of the Machine's shows that file system."""
    theirs = read_mounts("50 49 0:77 / / rw - overlay overlay rw\n")
    assert [TOKEN] == places(TOKEN, OURS, theirs)


def test_every_mount_that_could_show_it_is_looked_at() -> None:
    """The folder itself, one above, one with a space; not: another folder, another device."""
    theirs = read_mounts(
        """50 49 8:2 /volumes/a/roost /app ro - ext4 /dev/sdb rw
51 49 8:2 /volumes /my\\040data ro - ext4 /dev/sdb rw
52 49 8:2 /volumes/b /other ro - ext4 /dev/sdb rw
53 49 8:1 /volumes/a/roost /elsewhere ro - ext4 /dev/root rw
"""
    )
    seen = [Path("/app/token"), Path("/my data/a/roost/token")]
    assert [TOKEN, *seen] == places(TOKEN, OURS, theirs)


def test_the_innermost_mount_of_ours_counts() -> None:
    """A socket on a file system of its own below ROOST_HOME."""
    theirs = read_mounts("50 49 0:40 / /seen ro - tmpfs tmpfs rw\n")
    sock = Path("/var/lib/roost/run/api.sock")
    assert [sock, Path("/seen/api.sock")] == places(sock, OURS, theirs)
