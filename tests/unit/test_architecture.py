"""The rooms and the direction in which they may import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "roost"
LEVEL = {
    "errors": 0,
    "clock": 0,
    "pidfile": 0,
    "tasks": 0,
    "log": 0,
    "home": 0,
    "model": 1,
    "plan": 2,
    "spec": 2,
    "store": 3,
    "runtime": 3,
    "images": 3,
    "network": 3,
    "pki": 3,
    "proxyctl": 3,
    "canary": 4,
    "control": 4,
    "agent": 5,
    "deploy": 5,
    "api": 6,
    "cli": 7,
    "daemon": 7,
}
SHARED_SEAMS = {("runtime", "roost.images.base")}
"""A container is made from an image, so the runtime's contract names the image's value."""
PURE = ("model", "plan", "spec")
IMPURE_MODULES = {
    "asyncio",
    "os",
    "pathlib",
    "random",
    "secrets",
    "shutil",
    "socket",
    "subprocess",
    "time",
}


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if node.module == "roost":
                yield from (f"roost.{alias.name}" for alias in node.names)
            elif [alias.name for alias in node.names] != ["PurePath"]:
                yield node.module


def sources() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if room(path) != "__init__"]


def test_every_room_has_a_level() -> None:
    """A new room must choose its place."""
    assert {room(path) for path in sources()} <= set(LEVEL)


def test_rooms_import_downward_only() -> None:
    """A room imports only itself, rooms of lower number, and the files of room 0."""
    wrong = []
    for path in sources():
        mine = room(path)
        for name in imports(path):
            parts = name.split(".")
            if parts[0] != "roost" or len(parts) == 1 or parts[1] in (mine, "__version__"):
                continue
            allowed = (mine, name) in SHARED_SEAMS or LEVEL[parts[1]] == 0
            if not allowed and LEVEL[parts[1]] >= LEVEL[mine]:
                wrong.append(f"{path.relative_to(SOURCE)} imports {name}")
    assert [] == wrong


def test_pure_rooms_touch_nothing_outside() -> None:
    """model, plan and spec import no socket, clock, randomness, environment or process."""
    wrong = [
        f"{path.relative_to(SOURCE)} imports {name}"
        for path in sources()
        if room(path) in PURE
        for name in imports(path)
        if name.split(".")[0] in IMPURE_MODULES
    ]
    assert [] == wrong


def test_files_are_small() -> None:
    """No file is longer than 600 lines."""
    long = [str(path) for path in sources() if len(path.read_text().splitlines()) > 600]
    assert [] == long
