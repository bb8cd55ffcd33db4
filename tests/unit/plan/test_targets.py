"""What `roost reach` is asked about."""

from __future__ import annotations

import pytest

from roost.errors import InvalidError
from roost.plan.targets import Target, parse_target


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("web", Target(kind="flycast", text="web.flycast", app="web")),
        ("web:80", Target(kind="flycast", text="web.flycast", app="web", port=80)),
        ("Web.Flycast.:443", Target(kind="flycast", text="web.flycast", app="web", port=443)),
        ("web.internal", Target(kind="internal", text="web.internal", app="web")),
        (
            "17ab.vm.web.internal:22",
            Target(
                kind="internal",
                text="17ab.vm.web.internal",
                app="web",
                field="id",
                value="17ab",
                port=22,
            ),
        ),
        (
            "fra.web.internal",
            Target(
                kind="internal", text="fra.web.internal", app="web", field="region", value="fra"
            ),
        ),
        ("FDAA::3", Target(kind="address", text="fdaa::3")),
        ("[fdaa::3]:53", Target(kind="address", text="fdaa::3", port=53)),
        ("[fdaa::3]", Target(kind="address", text="fdaa::3")),
        ("172.16.0.2:22", Target(kind="address", text="172.16.0.2", port=22)),
        ("::ffff:172.16.0.2", Target(kind="address", text="172.16.0.2")),
    ],
)
def test_targets(text: str, wanted: Target) -> None:
    """Names, apps and addresses, each with a port or without."""
    assert wanted == parse_target(text)


@pytest.mark.parametrize(
    ("below", "field", "value"),
    [
        ("", "", ""),
        ("global.", "", ""),
        ("top3.nearest.of.", "", ""),
        ("Fra.", "region", "fra"),
        ("worker.process.", "group", "worker"),
        ("17ab.vm.", "id", "17ab"),
    ],
)
def test_names_of_machines(below: str, field: str, value: str) -> None:
    """The name server's grammar: which Machines an `.internal` name stands for."""
    target = parse_target(f"{below}web.internal")
    assert (target.app, target.field, target.value) == ("web", field, value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":80",
        "web:0",
        "web:65536",
        "web:http",
        "web.com",
        "[fdaa::3]:x",
        "Ü",
        "vm.web.internal",
        "vms.web.internal",
        "all.vms.web.internal",
        "top0.nearest.of.web.internal",
        "a b.web.internal",
        "no.such.thing.web.internal",
        ".vm.web.internal",
    ],
)
def test_what_cannot_be_read(text: str) -> None:
    """Each is refused with the forms that can be."""
    with pytest.raises(InvalidError):
        parse_target(text)
