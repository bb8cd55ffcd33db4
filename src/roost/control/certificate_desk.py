"""What the host's agent needs of certificates: to have them issued, opened, and roots to trust."""

from __future__ import annotations

from roost.control.authorities import Authorities
from roost.control.certificates import Certificates
from roost.control.issuing import Issuing
from roost.model.certificates import Certificate, IssuedCertificate


class CertificateDesk:
    """The agent's window to `authorities`, `issuing` and `certificates`."""

    def __init__(
        self, authorities: Authorities, issuing: Issuing, certificates: Certificates
    ) -> None:
        self._authorities = authorities
        self._issuing = issuing
        self._certificates = certificates

    async def issue(self, app: str, audience: str) -> IssuedCertificate:
        """See `Issuing.issue`."""
        return await self._issuing.issue(app, audience)

    def issued(self, app: str, audience: str) -> IssuedCertificate | None:
        """What the store has now."""
        return self._issuing.issued(app, audience)

    def key_of(self, record: Certificate | IssuedCertificate) -> str:
        """The private key, PEM. Raises UnavailableError."""
        if isinstance(record, IssuedCertificate):
            return self._issuing.key_of(record)
        return self._certificates.key_of(record)

    async def roots(self, org: str) -> tuple[str, ...]:
        """The roots that Machines of an organization trust, PEM; made when there are none.

        Raises as `Authorities.ensure`.
        """
        return tuple(one.certificate for one in await self._authorities.ensure(org))
