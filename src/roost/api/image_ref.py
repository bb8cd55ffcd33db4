"""An image reference taken apart, as clients show it. Pure."""

from __future__ import annotations

from roost.images.base import HOST_IMAGE

DOCKER_HUB = "docker.io"
_FILES = ("oci:", "oci-archive:", "docker-archive:")


def image_ref(reference: str, digest: str) -> dict[str, object]:
    """`registry`, `repository`, `tag`, `digest`, `labels`; what does not apply is empty.

    The host's image and images in files have no registry: their reference is the repository.
    """
    pinned = digest if digest.startswith("sha256:") else ""
    if reference == HOST_IMAGE or reference.startswith(_FILES):
        return _parts("", reference, "", pinned)
    name, _, asked = reference.partition("@")
    head, slash, rest = name.partition("/")
    if not slash or not ("." in head or ":" in head or head == "localhost"):
        head, rest = DOCKER_HUB, name if slash else f"library/{name}"
    repository, _, tag = rest.partition(":")
    return _parts(head, repository, tag or ("" if asked else "latest"), asked or pinned)


def _parts(registry: str, repository: str, tag: str, digest: str) -> dict[str, object]:
    return {
        "registry": registry,
        "repository": repository,
        "tag": tag,
        "digest": digest,
        "labels": {},
    }
