"""Who a program runs as: an image's USER resolved against its /etc/passwd and /etc/group. Pure.

Forms (OCI image-spec): "", "uid", "name", "uid:gid", "name:group" and mixtures.
"""

from __future__ import annotations

from dataclasses import dataclass

from roost.errors import InvalidError

MAX_ID = (1 << 31) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Numbers for the kernel; `home` is "/" when passwd does not tell."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def resolve_user(text: str, passwd: str, group: str) -> User:
    """Numbers of `text`. Raises InvalidError for a name that the image does not know."""
    name, _, group_text = text.partition(":")
    name = name or "0"
    entry = _passwd_entry(name, passwd)
    if entry is None:
        if not name.isdecimal():
            raise InvalidError(
                f"user {name!r} is not in the image's /etc/passwd",
                hint="use a user that the image has, or a number",
            )
        entry = ("", _number(name, "user"), 0, "/")
    login, uid, gid, home = entry
    if group_text:
        return User(uid=uid, gid=_gid(group_text, group), home=home)
    return User(uid=uid, gid=gid, groups=_member_of(login, group), home=home)


def _passwd_entry(name: str, passwd: str) -> tuple[str, int, int, str] | None:
    for fields in _rows(passwd, 6):
        if name in (fields[0], fields[2]) and fields[2].isdecimal() and fields[3].isdecimal():
            return fields[0], int(fields[2]), int(fields[3]), fields[5] or "/"
    return None


def _gid(text: str, group: str) -> int:
    for fields in _rows(group, 3):
        if fields[0] == text and fields[2].isdecimal():
            return int(fields[2])
    if not text.isdecimal():
        raise InvalidError(
            f"group {text!r} is not in the image's /etc/group",
            hint="use a group that the image has, or a number",
        )
    return _number(text, "group")


def _member_of(login: str, group: str) -> tuple[int, ...]:
    return tuple(
        int(fields[2])
        for fields in _rows(group, 4)
        if login and login in fields[3].split(",") and fields[2].isdecimal()
    )


def _number(text: str, what: str) -> int:
    if int(text) > MAX_ID:
        raise InvalidError(f"{what} number {text} is larger than {MAX_ID}")
    return int(text)


def _rows(text: str, least: int) -> list[list[str]]:
    rows = [line.split(":") for line in text.splitlines() if not line.startswith("#")]
    return [row for row in rows if len(row) >= least]
