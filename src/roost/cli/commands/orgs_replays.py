"""`roost orgs cross-network-replays …` and `roost orgs replay-sources …`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from roost.cli import options, output
from roost.cli.client import connect
from roost.cli.command import command, new_group
from roost.cli.project import org_slug
from roost.errors import RoostError

crossing = new_group("Whether fly-replay crosses the networks of an organization.")
sources = new_group("Organizations whose apps may replay requests to this one's.")

Slugs = Annotated[list[str], typer.Argument(metavar="SLUG...", help="Organizations.")]


@command(crossing, "status")
def status(org: options.Org = None) -> None:
    """Show whether replays may cross networks."""
    slug = org_slug(org)
    with connect() as api:
        found = dict(api.get(_path(slug, "cross_network_replays")))
    allowed = found.get("allowAllCrossNetworkReplays")
    how = "enabled" if allowed else "disabled"
    more = "" if allowed else " (replays are scoped to networks)"
    output.show(found, lambda: output.line(f"Cross-network replays are {how} for {slug}{more}"))


@command(crossing, "enable")
def enable(org: options.Org = None, yes: options.Yes = False) -> None:
    """Let apps replay requests to apps on other networks of the organization."""
    _set(org_slug(org), True, yes=yes)


@command(crossing, "disable")
def disable(org: options.Org = None, yes: options.Yes = False) -> None:
    """Keep replays within each network of the organization."""
    _set(org_slug(org), False, yes=yes)


def _set(slug: str, allowed: bool, *, yes: bool) -> None:
    verb = "enable" if allowed else "disable"
    if not output.confirm(f"{verb.title()} cross-network replays for {slug}?", yes=yes):
        raise RoostError(f"cross-network replays of {slug} were not {verb}d")
    with connect() as api:
        path = _path(slug, "cross_network_replays")
        found = dict(api.call("PUT", path, body={"allowed": allowed}))
    output.show(found, lambda: output.line(f"Cross-network replays {verb}d for {slug}"))


@command(sources, "list")
def list_sources(org: options.Org = None) -> None:
    """List the organizations whose apps may replay requests here."""
    slug = org_slug(org)
    with connect() as api:
        found = _slugs(api.get(_path(slug, "replay_sources")))
    output.show(found, lambda: _print(slug, found))


@command(sources, "add")
def add(slugs: Slugs, org: options.Org = None) -> None:
    """Let apps of other organizations replay requests to this one's apps."""
    slug = org_slug(org)
    with connect() as api:
        found = _slugs(api.post(_path(slug, "replay_sources"), {"add": slugs}))
    said = f"Added allowed replay source organizations for {slug}: {', '.join(slugs)}"
    output.show(found, lambda: output.line(said))


@command(sources, "remove")
def remove(slugs: Slugs, org: options.Org = None, yes: options.Yes = False) -> None:
    """Refuse replays from these organizations from now on."""
    slug, names = org_slug(org), ", ".join(slugs)
    if not output.confirm(f"Refuse replays of {names} to apps of {slug}?", yes=yes):
        raise RoostError(f"the replay sources of {slug} were not changed")
    with connect() as api:
        found = _slugs(api.post(_path(slug, "replay_sources"), {"remove": slugs}))
    said = f"Removed allowed replay source organizations for {slug}: {names}"
    output.show(found, lambda: output.line(said))


def _slugs(answer: dict[str, object]) -> list[str]:
    found = answer.get("allowedReplaySourceOrgSlugs")
    return [str(one) for one in found] if isinstance(found, list) else []


def _print(slug: str, found: list[str]) -> None:
    if not found:
        output.line(f"No replay source organizations configured for {slug}")
        return
    output.line(f"Allowed replay source organizations for {slug}:")
    for one in found:
        output.line(f"  {one}")


def _path(slug: str, what: str) -> str:
    return f"/v1/orgs/{quote(slug, safe='')}/{what}"
