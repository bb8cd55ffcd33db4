"""The probe points of a network: attached like Machines, under ids and numbers of no Machine."""

from __future__ import annotations

from roost.canary.base import Subject
from roost.model.addresses import PROBE_POINTS, probe_ipv4, probe_prefix
from roost.model.ids import probe_id
from roost.network.base import Attachment


def points_of(subject: Subject) -> tuple[Attachment, ...]:
    """The attachments of a network's probe points. Pure."""
    return tuple(
        Attachment(
            machine_id=probe_id(subject.id, point),
            router=subject.router,
            ip6=probe_prefix(subject.id, subject.host, point),
            ip4=probe_ipv4(point),
        )
        for point in range(PROBE_POINTS)
    )
