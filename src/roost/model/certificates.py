"""Roots of organizations, the certificates they issue, and those that users bring.

Private keys are sealed like secrets (base64 of nonce + AES-GCM ciphertext). Times are milliseconds.
"""

from __future__ import annotations

from typing import ClassVar

from roost.model.records import Record


class Authority(Record):
    """A root of an organization's private CA; the one of the highest number signs."""

    kind: ClassVar[str] = "authority"
    org: str
    number: int
    fingerprint: str
    """SHA-256 of the certificate in hexadecimal."""
    certificate: str
    cross: str = ""
    """The same key, certified by the root before it, for those who trust only that one."""
    sealed: str
    not_after: int
    created_at: int

    @property
    def key(self) -> str:
        """`org/fingerprint`."""
        return f"{self.org}/{self.fingerprint}"

    def indexes(self) -> dict[str, str]:
        """By organization."""
        return {"org": self.org}


class IssuedCertificate(Record):
    """What an app shows to callers on networks of one organization, `audience`."""

    kind: ClassVar[str] = "issued_certificate"
    app: str
    audience: str
    issuer: str
    """Fingerprint of the root that signed it."""
    names: tuple[str, ...]
    """Host names and addresses for which it is good."""
    chain: str
    sealed: str
    not_before: int
    not_after: int
    renew_at: int

    @property
    def key(self) -> str:
        """`app/audience`."""
        return f"{self.app}/{self.audience}"

    def indexes(self) -> dict[str, str]:
        """By app and by audience."""
        return {"app": self.app, "audience": self.audience}


class Certificate(Record):
    """A certificate that a user brought for a host name, which thereby is the app's."""

    kind: ClassVar[str] = "certificate"
    hostname: str
    """In lower case; may begin with `*.`."""
    app: str
    chain: str
    sealed: str
    issuer: str
    """The issuer's name, for people."""
    key_type: str
    """`ecdsa`, `rsa` or `ed25519`."""
    remarks: tuple[str, ...] = ()
    """What was odd about it when it was added."""
    not_before: int
    not_after: int
    created_at: int
    updated_at: int

    @property
    def key(self) -> str:
        """The host name: it belongs to one app on the whole Roost."""
        return self.hostname

    def indexes(self) -> dict[str, str]:
        """By app."""
        return {"app": self.app}
