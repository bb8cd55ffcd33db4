"""`python -m roost.daemon up|down|doctor`: what the CLI runs for the commands of the same names."""

from __future__ import annotations

import argparse
import json
import sys

from roost.daemon import options as opts
from roost.errors import RoostError
from roost.home import Home


def main(argv: list[str]) -> int:
    """Run one command; returns the exit status (1: an error was printed, 2: usage)."""
    parser = argparse.ArgumentParser(prog="roost")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start Roost on this host")
    up.add_argument("--detach", "-d", action="store_true", help="in the background")
    opts.add_arguments(up)
    opts.add_arguments(commands.add_parser("run", help=argparse.SUPPRESS))
    down = commands.add_parser("down", help="stop all Machines here, then Roost")
    down.add_argument(
        "--keep-machines",
        action="store_true",
        help="stop only the daemon: Machines, the proxy and open connections go on",
    )
    commands.add_parser("teardown", help=argparse.SUPPRESS)
    doctor = commands.add_parser("doctor", help="what this host has and lacks")
    doctor.add_argument("--json", "-j", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    try:
        return _run(arguments, argv[1:])
    except RoostError as error:
        print(f"Error: {error.message}", file=sys.stderr)  # noqa: T201
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    home = Home.from_env()
    match arguments.command:
        case "up":
            from roost.daemon.up import up

            passed = [word for word in rest if word not in ("--detach", "-d")]
            return up(home, opts.parse(arguments), passed, detach=arguments.detach)
        case "run":
            from roost.daemon.run import run

            return run(home, opts.parse(arguments))
        case "down":
            from roost.daemon.down import down

            return down(home, keep_machines=arguments.keep_machines)
        case "teardown":
            from roost.daemon.down import teardown

            return teardown(home)
        case _:
            from roost.daemon.doctor import examine, render

            findings = examine(home)
            if arguments.json:
                print(json.dumps([item.as_dict() for item in findings], indent=2))  # noqa: T201
            else:
                print(render(findings))  # noqa: T201
            return 1 if any(item.status == "missing" for item in findings) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
