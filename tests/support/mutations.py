"""Damage to a network, one piece at a time: every rule, route, address and setting of a router."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.namespaces import run_inside

HERE = Path("/proc/thread-self/ns/net")


@dataclass(frozen=True, slots=True)
class Mutation:
    """One piece of damage, by a name that says what it does, done by commands in a namespace."""

    name: str
    netns: Path
    commands: tuple[tuple[str, ...], ...]

    async def make(self) -> None:
        """Do it."""
        for command in self.commands:
            done = await run_inside(self.netns, command)
            assert done.returncode == 0, (self.name, command, done.stderr)


async def rules_away(where: str, netns: Path, table: str) -> list[Mutation]:
    """Every rule of a table removed, and every dropping policy turned, in turn."""
    done = await run_inside(netns, ["nft", "--json", "--handle", "list", "table", "inet", table])
    text = await run_inside(netns, ["nft", "--handle", "list", "table", "inet", table])
    words = dict(_by_handle(text.stdout.decode()))
    found = []
    for entry in json.loads(done.stdout)["nftables"]:
        if (rule := entry.get("rule")) is not None:
            name = f"{where}: no `{words[rule['handle']]}` in {rule['chain']}"
            place = ("rule", "inet", table, rule["chain"], "handle", str(rule["handle"]))
            found.append(Mutation(name, netns, (("nft", "delete", *place),)))
        chain = entry.get("chain")
        if chain is not None and chain.get("policy") == "drop":
            change = ("nft", f"chain inet {table} {chain['name']} {{ policy accept; }}")
            found.append(Mutation(f"{where}: policy accept of {chain['name']}", netns, (change,)))
    return found


def rules_added(where: str, netns: Path, table: str, *chains: str) -> list[Mutation]:
    """An accepting rule before all others, in some chains."""
    return [
        Mutation(
            f"{where}: accept first in {chain}",
            netns,
            (("nft", "insert", "rule", "inet", table, chain, "accept"),),
        )
        for chain in chains
    ]


def routes_away(where: str, netns: Path, *routes: str) -> list[Mutation]:
    """Routes removed, each given as `ip route del` wants it."""
    return [
        Mutation(
            f"{where}: no route {route}",
            netns,
            (("ip", *_family(route), "route", "del", *route.split()),),
        )
        for route in routes
    ]


def addresses_away(where: str, netns: Path, *addresses: str) -> list[Mutation]:
    """Addresses of loopback removed; also from the table of local ones, where Roost enters them."""
    found = []
    for address in addresses:
        commands: list[tuple[str, ...]] = [("ip", "address", "del", address, "dev", "lo")]
        if ":" in address:
            route = address.partition("/")[0]
            commands += [("ip", "-6", "route", "flush", "table", "local", route)]
        found.append(Mutation(f"{where}: no address {address}", netns, tuple(commands)))
    return found


def settings_turned(where: str, netns: Path, **settings: str) -> list[Mutation]:
    """Settings below net changed; dots of names are written as two underscores."""
    return [
        Mutation(
            f"{where}: {key.replace('__', '.')} = {value}",
            netns,
            (("sysctl", "-qw", f"net.{key.replace('__', '.')}={value}"),),
        )
        for key, value in settings.items()
    ]


def _by_handle(listing: str) -> Iterator[tuple[int, str]]:
    for line in listing.splitlines():
        words, found, handle = line.strip().rpartition(" # handle ")
        if found:
            yield int(handle), words


def _family(route: str) -> tuple[str, ...]:
    return ("-6",) if ":" in route else ()
