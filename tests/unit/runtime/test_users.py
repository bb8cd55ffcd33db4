"""USER of an image resolved against its account files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import InvalidError
from roost.runtime.users import User, resolve_user

PASSWD = """\
# a comment
root:x:0:0:root:/root:/bin/sh
web:x:1000:1001:Web:/srv/web:/bin/false
nohome:x:1002:1002:::
broken line
odd:x:abc:1::/:
"""
GROUP = """\
root:x:0:
web:x:1001:
staff:x:50:web,other
disk:x:6:other
audio:x:29:other,web
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", User(uid=0, gid=0, home="/root")),
        ("root", User(uid=0, gid=0, home="/root")),
        ("web", User(uid=1000, gid=1001, groups=(50, 29), home="/srv/web")),
        ("1000", User(uid=1000, gid=1001, groups=(50, 29), home="/srv/web")),
        ("web:staff", User(uid=1000, gid=50, home="/srv/web")),
        ("web:7", User(uid=1000, gid=7, home="/srv/web")),
        ("4242", User(uid=4242, gid=0)),
        ("4242:4243", User(uid=4242, gid=4243)),
        ("nohome", User(uid=1002, gid=1002)),
    ],
)
def test_forms(text: str, expected: User) -> None:
    """Names and numbers, with and without a group, as the OCI image-spec has them."""
    assert expected == resolve_user(text, PASSWD, GROUP)


@pytest.mark.parametrize(
    "text", ["nobody-here", "web:nogroup", "99999999999", "odd", "1:9999999999"]
)
def test_refused(text: str) -> None:
    """Unknown names and numbers that the kernel cannot hold."""
    with pytest.raises(InvalidError):
        resolve_user(text, PASSWD, GROUP)


def test_no_account_files() -> None:
    """An image from scratch runs as root of "/"."""
    assert User(uid=0, gid=0) == resolve_user("", "", "")


@given(st.text(max_size=30), st.text(max_size=200), st.text(max_size=200))
def test_any_files_give_a_user_or_a_sentence(text: str, passwd: str, group: str) -> None:
    """Hostile account files end in numbers that fit, or in InvalidError."""
    try:
        user = resolve_user(text, passwd, group)
    except InvalidError:
        return
    assert user.uid >= 0
    assert user.gid >= 0
