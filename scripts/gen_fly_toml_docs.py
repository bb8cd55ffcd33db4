"""Write docs/reference/fly-toml.md from the models and the table of pending features.

`--check` only compares; a test runs that.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from roost.spec.known_keys import tables_of_keys
from roost.spec.not_yet import PENDING, Pending

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "fly-toml.md"
HEAD = """\
# fly.toml

Written by `scripts/gen_fly_toml_docs.py` from the parser; do not edit.

Keys mean what Fly documents. All problems of a file are reported together, each with its line.
Differences: an unknown key is an error that names the nearest known one; `auto_stop_after` is
Roost's own (how long the excess must last, default 5m); a bare number is milliseconds in checks
and seconds elsewhere.

## Read and checked, not running yet

A file with these gives a warning that says so. `*` stands for a list's entries or for names.

| key | |
|---|---|
"""
ALL = """
## All keys

| key | in |
|---|---|
"""


def page() -> str:
    """The whole page."""
    pending = "".join(f"| `{item.path}`{_values(item)} | {item.missing} |\n" for item in PENDING)
    keys = "".join(
        f"| `{key}` | {', '.join(f'`{table}`' if table else 'top' for table in tables)} |\n"
        for key, tables in sorted(tables_of_keys().items())
    )
    return HEAD + pending + ALL + keys


def _values(item: Pending) -> str:
    return f" = {', '.join(sorted(item.values))}" if item.values else ""


def main() -> int:
    """Write or compare; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when the page is not current")
    text = page()
    if parser.parse_args().check:
        return 0 if PAGE.exists() and PAGE.read_text() == text else 1
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
