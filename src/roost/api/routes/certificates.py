"""Certificates that users bring for host names of their apps, in Fly's shapes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from roost.api.bodies import AcmeCertificateBody, CertificateBody
from roost.api.certificate_views import certificate_detail, certificate_summary
from roost.api.needs import needs
from roost.api.parts import Parts, PartsDep
from roost.api.views import Json
from roost.control.certificates import MAX_CERTIFICATES
from roost.errors import InvalidError
from roost.model.certificates import Certificate
from roost.plan.authority import Right

router = APIRouter(tags=["certificates"])

LIST = "/apps/{app}/certificates"
ONE = "/apps/{app}/certificates/{hostname}"


@router.get(LIST, dependencies=needs(Right.LOOK))
async def list_certificates(
    parts: PartsDep,
    app: str,
    filter: str = "",  # noqa: A002 - Fly's word
    cursor: str = "",
    limit: Annotated[int, Query(ge=1, le=MAX_CERTIFICATES)] = MAX_CERTIFICATES,
) -> Json:
    """List an app's certificates by host name; `filter` is a part of it."""
    everything = parts.control.certificates.list(app)
    found = [one for one in everything if filter.lower() in one.hostname]
    rest = [one for one in found if one.hostname > cursor]
    view: Json = {
        "certificates": [_summary(parts, one) for one in rest[:limit]],
        "total_count": len(found),
    }
    return view | ({"next_cursor": rest[limit - 1].hostname} if len(rest) > limit else {})


@router.post(f"{LIST}/custom", status_code=201, dependencies=needs(Right.CHANGE))
async def import_certificate(parts: PartsDep, app: str, body: CertificateBody) -> Json:
    """Add a certificate for a host name, or replace the one that is there.

    The name is the app's from then on; 409 with `hostname_taken` when it is another app's.
    """
    made = await parts.control.certificates.put(
        app, body.hostname, body.fullchain, body.private_key
    )
    return _detail(parts, made)


@router.post(f"{LIST}/acme", dependencies=needs(Right.CHANGE))
async def request_certificate(parts: PartsDep, app: str, body: AcmeCertificateBody) -> Json:
    """Always refused: Roost does not ask public authorities."""
    parts.control.apps.get(app)
    raise _no_acme(body.hostname)


@router.get(ONE, dependencies=needs(Right.LOOK))
async def get_certificate(parts: PartsDep, app: str, hostname: str) -> Json:
    """One host name, its certificate, and what to see to."""
    return _detail(parts, parts.control.certificates.get(app, hostname))


@router.post(f"{ONE}/check", dependencies=needs(Right.LOOK))
async def check_certificate(parts: PartsDep, app: str, hostname: str) -> Json:
    """The same: whatever is checked, is checked when a certificate is added, or each time."""
    return _detail(parts, parts.control.certificates.get(app, hostname))


@router.delete(ONE, dependencies=needs(Right.CHANGE))
async def delete_hostname(parts: PartsDep, app: str, hostname: str) -> Json:
    """Remove a host name and its certificate."""
    await parts.control.certificates.remove(app, hostname)
    return {}


@router.delete(f"{ONE}/custom", dependencies=needs(Right.CHANGE))
async def delete_custom(parts: PartsDep, app: str, hostname: str) -> Json:
    """The same: a host name has no other certificate."""
    await parts.control.certificates.remove(app, hostname)
    return {}


@router.delete(f"{ONE}/acme", dependencies=needs(Right.CHANGE))
async def delete_acme(parts: PartsDep, app: str, hostname: str) -> Json:
    """Always refused: there is none."""
    parts.control.certificates.get(app, hostname)
    raise _no_acme(hostname)


def _no_acme(hostname: str) -> InvalidError:
    return InvalidError(
        f"Roost does not ask public authorities for certificates: {hostname} gets none by itself",
        hint="bring one: roost certs add HOSTNAME --cert FILE --key FILE; https://APP.flycast "
        "needs none",
    )


def _summary(parts: Parts, record: Certificate) -> Json:
    warnings = parts.control.certificates.warnings(record)
    return certificate_summary(record, warnings, parts.control.context.clock.now_ms())


def _detail(parts: Parts, record: Certificate) -> Json:
    control = parts.control
    return certificate_detail(
        record,
        control.certificates.warnings(record),
        control.context.clock.now_ms(),
        addresses=control.addresses.list(record.app),
        cname=control.context.public.host(record.app),
    )
