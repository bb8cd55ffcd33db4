"""`roost dig`: ask the DNS server of a private network, from inside it.

A console Machine is made in the network, and a few lines of Python in it carry the question over
TCP to the address that every Machine of the network has as its name server. The reply is read here.
"""

from __future__ import annotations

import base64
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated

import typer

from roost.cli import options, output
from roost.cli.client import Api, connect
from roost.cli.command import command, new_app
from roost.cli.commands.machine_exec import run_in_machine
from roost.cli.ephemeral import console
from roost.cli.project import org_slug
from roost.errors import InvalidError, UnavailableError

if TYPE_CHECKING:
    from dns.message import Message

app = new_app("DNS.")

SERVER = "fdaa::3"
SECONDS = 15

CARRIER = """
import base64, socket, sys
question = base64.b64decode(sys.argv[2])
with socket.create_connection((sys.argv[1], 53), 10) as link:
    link.sendall(len(question).to_bytes(2, "big") + question)
    stream = link.makefile("rb")
    size = int.from_bytes(stream.read(2), "big")
    reply = stream.read(size)
if not size or len(reply) < size:
    sys.exit("the DNS server closed the connection without a whole reply")
sys.stdout.write(base64.b64encode(reply).decode())
"""
"""Runs in the Machine; asks argv[1] the base64 message argv[2]."""


@command(app, "dig")
def dig(
    words: Annotated[list[str], typer.Argument(metavar="[TYPE] NAME", help="Default type: AAAA.")],
    network: options.Network = "",
    org: options.Org = None,
    app: options.App = None,
    short: Annotated[bool, typer.Option("--short", help="Only the values.")] = False,
) -> None:
    """Ask the DNS server of a private network, from inside it.

    With -a it is the app's network. The question is asked by a short-lived Machine in the network.
    """
    question = make_question(words)
    with connect() as api:
        if app:
            facts = api.app(app)
            network = str(facts.get("network") or "")
            org = str((facts.get("organization") or {}).get("slug") or "") or org
        network = "" if network == "default" else network
        with console(api, org=org_slug(org), network=network) as here:
            began = time.monotonic()
            reply = _ask(api, here.app, here.machine, question)
            took = round((time.monotonic() - began) * 1000)
    if short:
        values = _values(reply)
        output.show(values, lambda: output.print_lines(values))
    else:
        output.show(_json(reply, took), lambda: _print(reply, took))


def make_question(words: list[str]) -> Message:
    """The query message of `[TYPE] NAME`; an address asked as PTR is turned round.

    Raises InvalidError.
    """
    import dns.exception
    import dns.flags
    import dns.message
    import dns.rdatatype
    import dns.reversename

    *kinds, name = words
    if len(kinds) > 1:
        raise InvalidError("dig takes one type and one name", hint="roost dig [TYPE] NAME")
    kind = (kinds[0] if kinds else "AAAA").upper().removesuffix("-NATIVE")
    try:
        rdtype = dns.rdatatype.from_text(kind)
    except dns.exception.DNSException as error:
        raise InvalidError(f"DNS type {kind!r} is unknown", hint="such as AAAA or TXT") from error
    try:
        asked = dns.reversename.from_address(name) if kind == "PTR" and _is_ip(name) else name
        message = dns.message.make_query(asked, rdtype)
    except dns.exception.DNSException as error:
        raise InvalidError(f"{name!r} is no DNS name: {error}") from error
    if message.question[0].name.to_text().endswith(".internal."):
        message.flags &= ~dns.flags.RD
    return message


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _ask(api: Api, app: str, machine: str, question: Message) -> Message:
    import dns.exception
    import dns.message

    packed = base64.b64encode(question.to_wire()).decode()
    words = ["python3", "-c", CARRIER, SERVER, packed]
    result = run_in_machine(api, app, machine, words, timeout=SECONDS)
    if result.get("exit_code") != 0:
        said = str(result.get("stderr") or "").strip().splitlines() or ["no reply"]
        raise UnavailableError(f"the DNS server of the network was not reached: {said[-1]}")
    try:
        return dns.message.from_wire(base64.b64decode(str(result.get("stdout"))))
    except (dns.exception.DNSException, ValueError) as error:
        raise UnavailableError(f"the DNS server's reply cannot be read: {error}") from error


def _values(reply: Message) -> list[str]:
    return [item.to_text() for group in reply.answer for item in group]


def _json(reply: Message, took: int) -> dict[str, object]:
    import dns.rcode
    import dns.rdatatype

    asked = reply.question[0]
    return {
        "name": asked.name.to_text(),
        "type": dns.rdatatype.to_text(asked.rdtype),
        "status": dns.rcode.to_text(reply.rcode()),
        "server": SERVER,
        "query_ms": took,
        "answers": [
            {
                "name": group.name.to_text(),
                "ttl": group.ttl,
                "type": dns.rdatatype.to_text(group.rdtype),
                "data": item.to_text(),
            }
            for group in reply.answer
            for item in group
        ],
    }


def _print(reply: Message, took: int) -> None:
    output.line(reply.to_text())
    output.line()
    output.line(f";; Query time: {took} msec")
    output.line(f";; SERVER: {SERVER}#53 (TCP)")
