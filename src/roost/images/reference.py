"""Image references: what users write, and what skopeo is to fetch. Pure.

| written                        | means                                              |
|--------------------------------|----------------------------------------------------|
| `nginx`, `nginx:1.27`          | docker.io/library/nginx, tag latest unless given   |
| `team/app`                     | docker.io/team/app                                 |
| `host:5000/x`, `ghcr.io/a/b`   | that registry: the first part has a dot or a port  |
| `name@sha256:…`, `name:t@…`    | exactly that digest (a tag beside it is ignored)   |
| `oci:/path[:tag]`              | an OCI layout on this host                         |
| `oci-archive:/file[:tag]`      | one in a tar file                                  |
| `docker-archive:/file[:ref]`   | what `docker save` writes                          |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from roost.errors import InvalidError

DEFAULT_REGISTRY = "docker.io"
LOCAL = ("oci", "oci-archive", "docker-archive")
MAX_LENGTH = 512

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_REGISTRY = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::\d{1,5})?"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """`source` in skopeo's words, also the name under which the answer is remembered.

    `digest` is set when it is pinned. `plain_http`: a registry on loopback needs no TLS.
    """

    source: str
    digest: str = ""
    plain_http: bool = False

    @property
    def local(self) -> bool:
        """Whether it is a file of this host rather than a registry's."""
        return not self.source.startswith("docker://")


def is_file(text: str) -> bool:
    """Whether a reference names a file of this host rather than a registry's image."""
    kind, colon, _ = text.partition(":")
    return bool(colon) and kind in LOCAL


def parse(text: str) -> Reference:
    """Read a reference. Raises InvalidError with an example of what it should look like."""
    if len(text) > MAX_LENGTH or any(ord(character) <= 0x20 for character in text):
        raise _invalid(text, "it is too long or contains spaces")
    kind, colon, rest = text.partition(":")
    if colon and kind in LOCAL:
        return _local(text, kind, rest)
    return _remote(text, text.removeprefix("docker://"))


def _local(text: str, kind: str, rest: str) -> Reference:
    path, _, tag = rest.partition(":")
    if not path.startswith("/") or ".." in path.split("/"):
        raise _invalid(text, f"{kind}: needs an absolute path")
    if not tag and kind != "docker-archive":
        tag = "latest"
    return Reference(source=f"{kind}:{path}:{tag}" if tag else f"{kind}:{path}")


def _remote(text: str, name: str) -> Reference:
    name, at, digest = name.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _invalid(text, "a digest is sha256: and 64 hexadecimal digits")
    registry, path, tag = _split(name)
    if not _REGISTRY.fullmatch(registry) or not _PATH.fullmatch(path):
        raise _invalid(text, "a name has lower-case letters, digits, and single . _ - / between")
    if tag and not _TAG.fullmatch(tag):
        raise _invalid(text, f"tag {tag!r} is not possible")
    exact = f"@{digest}" if digest else f":{tag or 'latest'}"
    return Reference(
        source=f"docker://{registry}/{path}{exact}",
        digest=digest,
        plain_http=_is_loopback(registry),
    )


def _split(name: str) -> tuple[str, str, str]:
    """Registry, path and tag of a name without a digest."""
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or any(mark in first for mark in ".:")):
        registry, path = first, rest
    else:
        registry, path = DEFAULT_REGISTRY, name
    path, colon, tag = path.partition(":")
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = f"library/{path}"
    return registry, path, tag if tag or not colon else colon


def _is_loopback(registry: str) -> bool:
    host = registry if registry.endswith("]") else re.sub(r":\d+$", "", registry)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _invalid(text: str, why: str) -> InvalidError:
    return InvalidError(
        f"image reference {text[:100]!r} is not valid: {why}",
        hint="write something like nginx:1.27, ghcr.io/team/app@sha256:…, oci:/path:tag "
        "or roost/host",
    )
