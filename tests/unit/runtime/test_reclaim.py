"""Which memory is pushed out."""

from __future__ import annotations

import os

from roost.runtime.reclaim import footprint, private_ranges

MAPS = """\
55e0a000-55e0b000 r--p 00000000 fe:00 123    /usr/bin/python3.11
55e0b000-55e0d000 r-xp 00001000 fe:00 123    /usr/bin/python3.11
55e0d000-55e10000 rw-p 00003000 fe:00 123    /usr/bin/python3.11
56000000-56100000 rw-p 00000000 00:00 0      [heap]
7f000000-7f200000 rw-p 00000000 00:00 0
7f300000-7f400000 rw-s 00000000 00:01 99     /dev/shm/x
7f400000-7f401000 r--p 00000000 00:00 0      [vvar]
7ffe0000-7fff0000 rw-p 00000000 00:00 0      [stack]
"""


def test_private_writable_ranges() -> None:
    """Heap, stack, anonymous memory and written data; no shared text, no shared memory."""
    assert [
        (0x55E0D000, 0x3000),
        (0x56000000, 0x100000),
        (0x7F000000, 0x200000),
        (0x7FFE0000, 0x10000),
    ] == private_ranges(MAPS)


def test_footprint_of_this_process() -> None:
    """A living process holds something; one that does not exist nothing."""
    assert 0 < footprint([os.getpid()])[0]
    assert (0, 0) == footprint([0])
