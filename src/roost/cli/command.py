"""How commands are declared: shared flags on each of them, and Go's `--flag=false`.

`@command(app, "name")` registers a function with Typer and adds `--json`, `--access-token`,
`--api` and `--verbose`, so that they may stand before or after the command's own words, as in
flyctl. Boolean flags also take Go's forms (`--ha=false`, `--detach=true`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from roost.cli.session import current, set_current

Fn = TypeVar("Fn", bound=Callable[..., Any])

_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})

TokenOption = Annotated[
    str | None, typer.Option("--access-token", "-t", metavar="TOKEN", help="API token.")
]
ApiOption = Annotated[
    str | None,
    typer.Option("--api", metavar="URL", help="API address instead of the local Unix socket."),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Say more on standard error.")]
JsonOption = Annotated[bool, typer.Option("--json", "-j", help="Print JSON.")]


class RoostCommand(TyperCommand):
    """A command whose boolean flags may be written `--flag=true` and `--flag=false`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Rewrite Go's boolean forms, then parse as ever."""
        flags: dict[str, str | None] = {}
        for param in self.params:
            if getattr(param, "is_flag", False):
                off = next(iter(param.secondary_opts), None)
                flags.update(dict.fromkeys(param.opts, off))
        return super().parse_args(ctx, list(plain_flags(args, flags)))


def plain_flags(args: Iterable[str], flags: dict[str, str | None]) -> Iterable[str]:
    """Yield the arguments with `--x=true` as `--x` and `--x=false` as its opposite, or left out.

    `flags` maps each boolean flag to the flag that turns it off (None: it is off by default).
    Words after `--` are not touched.
    """
    words = iter(args)
    for word in words:
        if word == "--":
            yield word
            yield from words
            return
        name, equals, value = word.partition("=")
        if not equals or name not in flags or value.lower() not in _TRUE | _FALSE:
            yield word
        elif value.lower() in _TRUE:
            yield name
        elif (off := flags[name]) is not None:
            yield off


def new_app(help: str, *, completion: bool = False) -> typer.Typer:  # noqa: A002 - Typer's word
    """A Typer application with Roost's settings (plain help text: it is fast and can be cut)."""
    return typer.Typer(
        help=help,
        add_completion=completion,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )


def new_group(help: str) -> typer.Typer:  # noqa: A002
    """Like new_app, for a command that has sub-commands even when there is only one."""
    app = new_app(help)

    @app.callback(help=help)
    def _group() -> None:
        return None

    return app


def command(
    app: typer.Typer, name: str, *, hidden: bool = False, json: bool = True, **settings: Any
) -> Callable[[Fn], Fn]:
    """Register a function as a command with the shared flags (without `--json` if it has none)."""

    def register(function: Fn) -> Fn:
        app.command(name, cls=RoostCommand, hidden=hidden, **settings)(
            _with_shared_flags(function, json=json)
        )
        return function

    return register


def _with_shared_flags(function: Callable[..., Any], *, json: bool) -> Callable[..., Any]:
    shared: dict[str, tuple[Any, object]] = {
        "access_token": (TokenOption, None),
        "api": (ApiOption, None),
        "verbose": (VerboseOption, False),
    }
    if json:
        shared["json"] = (JsonOption, False)

    @wraps(function)
    def run(**values: Any) -> Any:
        given = {name: values.pop(name) for name in shared}
        session = current().merged(
            api=given["api"],
            token=given["access_token"],
            json=given.get("json", False),
            verbose=given["verbose"],
        )
        set_current(session)
        return function(**values)

    own = inspect.signature(function, eval_str=True)
    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for name, (annotation, default) in shared.items()
    ]
    parameters = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own.parameters.values()
    ] + added
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    # Typer would read the original's types through it.
    del run.__wrapped__
    return run
