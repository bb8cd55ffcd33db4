"""Small records for tests of stores."""

from __future__ import annotations

from roost.model.records import App, Counter


def counter(name: str, value: int = 0) -> Counter:
    """A record without indexes."""
    return Counter(name=name, value=value)


def app(name: str, org: str = "personal", network_id: int = 1) -> App:
    """A record with two indexes."""
    return App(
        id=name,
        name=name,
        org=org,
        network="default",
        network_id=network_id,
        number=1,
        created_at=1,
    )
