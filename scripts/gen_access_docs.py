"""Write the tables of docs/access.md from the code that decides (`--check`: only compare)."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from starlette.routing import BaseRoute

from roost.api.app import ROUTERS
from roost.api.needs import Place, named, need_of
from roost.model.access import TokenKind
from roost.plan.authority import RIGHTS, Right

PAGE = Path(__file__).parents[1] / "docs" / "access.md"


def rights() -> Iterator[str]:
    """What each kind of token may do."""
    asked = [right for right in Right if right is not Right.ANY]
    yield f"| kind | {' | '.join(asked)} |"
    yield "|---" * (len(asked) + 1) + "|"
    for kind in TokenKind:
        cells = ["yes" if right in RIGHTS[kind] else "no" for right in asked]
        yield f"| `{kind}` | {' | '.join(cells)} |"


def routes() -> Iterator[str]:
    """What each route needs."""
    yield "| route | right | on |"
    yield "|---|---|---|"
    found = [row for router in ROUTERS for route in router.routes for row in _rows(route)]
    yield from (f"| `{method} /v1{path}` | {need} |" for path, method, need in sorted(found))


def _rows(route: BaseRoute) -> Iterator[tuple[str, str, str]]:
    need, path = need_of(route), str(getattr(route, "path", ""))
    assert need is not None, path
    place = named(path) if need.place is Place.PATH else str(need.place)
    for method in getattr(route, "methods", None) or ["WebSocket"]:
        yield path, method, f"{need.right} | {place}"


def page(text: str) -> str:
    """The page with its tables made anew."""
    tables = {"roost.plan.authority": rights, "roost.api": routes}
    for source, table in tables.items():
        mark = f"<!-- made from {source} by scripts/gen_access_docs.py -->"
        made = "\n".join(["", *table(), ""])
        pattern = re.compile(rf"({re.escape(mark)}\n).*?(<!-- end -->)", re.DOTALL)
        text, found = pattern.subn(lambda m, made=made: f"{m[1]}{made}\n{m[2]}", text)
        assert found == 1, source
    return text


def main() -> int:
    """Write or compare; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when the page is not current")
    current = PAGE.read_text(encoding="utf-8")
    wanted = page(current)
    if parser.parse_args().check:
        if current != wanted:
            sys.stderr.write(f"{PAGE} is not current: run scripts/gen_access_docs.py\n")
        return int(current != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
