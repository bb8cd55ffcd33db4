"""Shapes of fly.toml from earlier years, rewritten to today's before anything is checked.

Nothing here judges: what has neither the old nor the new shape is left for validation to refuse.
Source: the reading rules of Fly's own client.
"""

from __future__ import annotations

import re

from roost.spec.tree import Node

_DIGITS = re.compile(r"[0-9]{1,9}")
_LIMITS = re.compile(r"\s*([0-9]{1,9})\s*,\s*([0-9]{1,9})\s*")

_OTHER_NAMES = {
    "mount": "mounts",
    "metric": "metrics",
    "compute": "vm",
    "computes": "vm",
}
_LISTS = ("services", "mounts", "metrics", "vm", "restart", "files", "statics")


def rewrite(root: Node) -> None:
    """Change the tree of a file in place; every value keeps its place in the file."""
    table = root.table
    if table is None:
        return
    for old, new in _OTHER_NAMES.items():
        _merge(table, old, new)
    for key in _LISTS:
        if key in table:
            table[key] = _listed(table[key])
    _env(table)
    _named_tables(table, "processes", value="command")
    _named_tables(table, "checks", value=None)
    _experimental(table)
    _build(table)
    for service in _each(table.get("services")):
        _service(service)
    for check in _entries(table.get("checks")).values():
        _check_headers(check)
    for check in _each(_entries(table.get("http_service")).get("checks")):
        _check_headers(check)


def _entries(node: Node | None) -> dict[str, Node]:
    return (node.table if node else None) or {}


def _each(node: Node | None) -> list[Node]:
    return [one for one in (node.items if node else None) or [] if one.table is not None]


def _listed(node: Node) -> Node:
    """A table where a list of tables belongs counts as a list of one."""
    return node if node.table is None else Node([node], node.where)


def _merge(table: dict[str, Node], old: str, new: str) -> None:
    if old not in table:
        return
    more = _listed(table.pop(old))
    if new not in table:
        table[new] = more
        return
    have = _listed(table[new])
    if have.items is not None and more.items is not None:
        table[new] = Node([*have.items, *more.items], have.where)


def _env(table: dict[str, Node]) -> None:
    env = table.get("env")
    if env is None or env.items is None or any(one.table is None for one in env.items):
        return
    merged: dict[str, Node] = {}
    for one in env.items:
        merged.update(one.table or {})
    table["env"] = Node(merged, env.where)


def _named_tables(table: dict[str, Node], key: str, value: str | None) -> None:
    """`[[key]]` tables with a `name` become `[key.NAME]`, or `NAME = <their value>`."""
    section = table.get(key)
    if section is None or section.items is None:
        return
    named: dict[str, Node] = {}
    for one in section.items:
        entries = dict(one.table or {})
        name = entries.pop("name", None)
        if name is None or not isinstance(name.value, str):
            return
        if value is None:
            named[name.value] = Node(entries, one.where)
        elif set(entries) <= {value}:
            named[name.value] = entries.get(value, Node("", one.where))
        else:
            return
    table[key] = Node(named, section.where)


def _experimental(table: dict[str, Node]) -> None:
    section = table.get("experimental")
    if section is None or section.table is None:
        return
    entries = section.table
    for key in ("cmd", "entrypoint", "exec"):
        if key in entries and isinstance(entries[key].value, str):
            entries[key] = Node([entries[key]], entries[key].where)
    if "kill_timeout" in entries:
        hoisted = entries.pop("kill_timeout")
        table.setdefault("kill_timeout", hoisted)
    scrape = {
        new: entries.pop(old)
        for old, new in (("metrics_port", "port"), ("metrics_path", "path"))
        if old in entries
    }
    if scrape and "metrics" not in table:
        place = next(iter(scrape.values())).where
        table["metrics"] = Node([Node(scrape, place)], place)


def _build(table: dict[str, Node]) -> None:
    build = table.get("build")
    if build is not None and build.table is not None and "build_target" in build.table:
        build.table.setdefault("build-target", build.table.pop("build_target"))


def _service(service: Node) -> None:
    entries = service.table or {}
    _number(entries, "internal_port")
    if "ports" in entries:
        entries["ports"] = _listed(entries["ports"])
        for port in _each(entries["ports"]):
            _number(port.table or {}, "port")
    limits = entries.get("concurrency")
    if limits is not None and isinstance(limits.value, str):
        match = _LIMITS.fullmatch(limits.value)
        if match:
            soft, hard = (Node(int(text), limits.where) for text in match.groups())
            kind = Node("requests", limits.where)
            entries["concurrency"] = Node(
                {"type": kind, "soft_limit": soft, "hard_limit": hard}, limits.where
            )
    for key in ("tcp_checks", "http_checks"):
        if key in entries:
            entries[key] = _listed(entries[key])
            for check in _each(entries[key]):
                _check_headers(check)


def _number(entries: dict[str, Node], key: str) -> None:
    node = entries.get(key)
    if node is not None and isinstance(node.value, str) and _DIGITS.fullmatch(node.value):
        entries[key] = Node(int(node.value), node.where)


def _check_headers(check: Node) -> None:
    entries = check.table or {}
    headers = entries.get("headers")
    if headers is None or headers.items is None:
        return
    named: dict[str, Node] = {}
    for one in headers.items:
        pair = one.table or {}
        if set(pair) != {"name", "value"} or not isinstance(pair["name"].value, str):
            return
        named[pair["name"].value] = pair["value"]
    entries["headers"] = Node(named, headers.where)
