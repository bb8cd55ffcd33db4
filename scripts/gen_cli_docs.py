"""Write docs/reference/cli.md from the commands themselves (`--check`: only compare)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from roost.cli.main import ALIASES, build

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"

HEAD = """\
# The roost command

Written by `scripts/gen_cli_docs.py` from the commands themselves; do not edit.

The grammar is flyctl's. These flags are on every command that talks to Roost and are left out
below:

| flag | meaning |
|---|---|
| `-j`, `--json` | print JSON on standard output (left out below, too, where a command has it) |
| `-t`, `--access-token TOKEN` | the token; else `ROOST_ACCESS_TOKEN`, `FLY_ACCESS_TOKEN`, \
`FLY_API_TOKEN`, else the file `token` of ROOST_HOME |
| `--api URL` | the API's address; else `ROOST_API_URL`, `FLY_FLAPS_BASE_URL`, else the Unix \
socket of ROOST_HOME |
| `--verbose` | name each call of the API on standard error |

Over `https://` the API's certificate must come from an authority in the file `ROOST_CACERT`, else
from one of `SSL_CERT_FILE` or `SSL_CERT_DIR`, else from a usual one.

Boolean flags may be written as in Go, `--ha=false`. The app is that of `-a`, else `FLY_APP`, else
`app` of the fly.toml in the folder. Results go to standard output, everything else to standard
error. Table columns are padded and separated by a tab; an empty cell is `-`.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted. `console`, `ssh console` and
`machine exec` end with the status of the command that they ran. `ROOST_DEBUG=1` shows where an
error came from.
"""

SHARED = {"access_token", "api", "verbose", "json", "help"}


def page() -> str:
    """The whole page."""
    root = build()
    parts = [HEAD]
    for name in root.list_commands(None):
        parts.extend(_command(root.get_command(None, name), f"roost {name}", level=2))
    return "\n".join(parts)


def _command(command: Any, path: str, level: int) -> Iterator[str]:
    others = [alias for alias, name in ALIASES.items() if path == f"roost {name}"]
    also = f" (also `{'`, `'.join(others)}`)" if others else ""
    yield f"{'#' * level} {path}{also}\n"
    yield _text(command.help or "") + "\n"
    inner = getattr(command, "commands", None)
    if inner is not None:
        for name in sorted(inner):
            yield from _command(inner[name], f"{path} {name}", level + 1)
        return
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    words = " ".join(_argument(param) for param in arguments)
    yield f"```\n{path}{' [FLAGS]' if _rows(command) else ''}{' ' + words if words else ''}\n```\n"
    if rows := _rows(command):
        yield "| flag | meaning |\n|---|---|"
        yield "\n".join(rows) + "\n"


def _rows(command: Any) -> list[str]:
    params = [param for param in command.params if param.param_type_name == "option"]
    return [_row(param) for param in params if param.name not in SHARED]


def _row(param: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*param.opts, *param.secondary_opts])
    value = "" if param.is_flag else f" `{param.metavar or param.name.upper()}`"
    default = param.default
    shown = "" if default in (None, False, True, "", ()) else f" Default: `{_plain(default)}`."
    return f"| {names}{value} | {_cell(param.help or '')}{shown} |"


def _argument(param: Any) -> str:
    many = "..." if param.nargs != 1 else ""
    name = f"{param.metavar or param.name.upper()}{many}"
    return name if param.required else f"[{name}]"


def _plain(value: Any) -> str:
    return str(getattr(value, "value", value))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _text(text: str) -> str:
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(" ".join(one.split()) for one in paragraphs)


def main() -> int:
    """Write or compare; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when the page is not current")
    wanted = page()
    if parser.parse_args().check:
        current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        if current != wanted:
            sys.stderr.write(f"{PAGE} is not current: run scripts/gen_cli_docs.py\n")
        return int(current != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
