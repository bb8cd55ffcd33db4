"""Certificates and roots as the API's JSON objects, in Fly's shapes where Fly has them. Pure.

Source: docs/machines/api/certificates-resource. Roost asks no public authority and no DNS, so what
concerns ACME and the proof of ownership is always "no".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from roost.api.views import Json, when
from roost.model.certificates import Authority, Certificate
from roost.model.records import Address


def certificate_summary(record: Certificate, warnings: Sequence[str], now_ms: int) -> Json:
    """A line of the list; `expires_at` and `warnings` are Roost's own."""
    return {
        "hostname": record.hostname,
        "status": _status(record, now_ms),
        "dns_provider": "",
        "acme_dns_configured": False,
        "acme_alpn_configured": False,
        "acme_http_configured": False,
        "ownership_txt_configured": False,
        "configured": _status(record, now_ms) == "active",
        "acme_requested": False,
        "has_custom_certificate": True,
        "has_fly_certificate": False,
        "created_at": when(record.created_at),
        "updated_at": when(record.updated_at),
        "expires_at": when(record.not_after),
        "warnings": list(warnings),
    }


def certificate_detail(
    record: Certificate,
    warnings: Sequence[str],
    now_ms: int,
    *,
    addresses: Iterable[Address],
    cname: str,
) -> Json:
    """One host name with its certificate; what the owner should see to is in
    `validation_errors`.
    """
    status = _status(record, now_ms)
    public = [one.ip for one in addresses if one.type.public]
    issued = {
        "type": record.key_type,
        "expires_at": when(record.not_after),
        "certificate_authority": record.issuer,
    }
    return {
        "hostname": record.hostname,
        "configured": status == "active",
        "acme_requested": False,
        "status": status,
        "dns_provider": "",
        "rate_limited_until": None,
        "certificates": [
            {
                "source": "custom",
                "status": status,
                "created_at": when(record.created_at),
                "expires_at": when(record.not_after),
                "issuer": record.issuer,
                "issued": [issued],
            }
        ],
        "validation": {
            "dns_configured": False,
            "alpn_configured": False,
            "http_configured": False,
            "ownership_txt_configured": False,
        },
        "dns_requirements": {
            "a": [ip for ip in public if ":" not in ip],
            "aaaa": [ip for ip in public if ":" in ip],
            "cname": cname if public else "",
            "acme_challenge": {"name": "", "target": ""},
            "ownership": {"name": "", "app_value": "", "org_value": ""},
        },
        "validation_errors": [
            {"code": None, "message": text, "remediation": "", "timestamp": when(now_ms)}
            for text in warnings
        ],
    }


def authority_view(record: Authority, *, signs: bool) -> Json:
    """A root of an organization's private CA (Roost's own object)."""
    return {
        "fingerprint": record.fingerprint,
        "certificate": record.certificate,
        "signs": signs,
        "created_at": when(record.created_at),
        "expires_at": when(record.not_after),
    }


def _status(record: Certificate, now_ms: int) -> str:
    return "active" if now_ms < record.not_after else "expired"
