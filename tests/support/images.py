"""Small images without a registry: OCI layouts and docker archives, written by hand.

The program in them is a static busybox (Debian: busybox-static).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "sleep", "cat", "echo", "id", "ls", "pwd", "rm", "true")
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000:web:/srv/web:/bin/sh\n"
GROUP = b"root:x:0:\nweb:x:1000:\nextra:x:1234:web\n"

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One member of a layer: a file with content, a folder (no content), or a link."""

    name: str
    content: bytes | None = None
    link: str = ""
    hard: bool = False
    mode: int = 0o755


def layer(*entries: Entry) -> bytes:
    """A layer's tar, byte for byte the same every time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.mode = entry.mode
            if entry.link:
                info.type = tarfile.LNKTYPE if entry.hard else tarfile.SYMTYPE
                info.linkname = entry.link
            elif entry.content is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(entry.content)
            tar.addfile(info, io.BytesIO(entry.content or b""))
    return buffer.getvalue()


def base_layer() -> bytes:
    """busybox with some applets, accounts, and things for an upper layer to take away."""
    return layer(
        Entry(name="bin"),
        Entry(name="bin/busybox", content=BUSYBOX.read_bytes()),
        *(Entry(name=f"bin/{name}", link="busybox") for name in APPLETS),
        Entry(name="etc"),
        Entry(name="etc/passwd", content=PASSWD, mode=0o644),
        Entry(name="etc/group", content=GROUP, mode=0o644),
        Entry(name="etc/gone", content=b"x", mode=0o644),
        Entry(name="emptied"),
        Entry(name="emptied/old", content=b"x", mode=0o644),
    )


def top_layer(text: str = "top") -> bytes:
    """Takes /etc/gone away, replaces the folder /emptied, and adds /text."""
    return layer(
        Entry(name="etc"),
        Entry(name="etc/.wh.gone", content=b"", mode=0o644),
        Entry(name="emptied"),
        Entry(name="emptied/.wh..wh..opq", content=b"", mode=0o644),
        Entry(name="emptied/new", content=b"x", mode=0o644),
        Entry(name="text", content=text.encode(), mode=0o644),
    )


DEFAULTS: Mapping[str, Any] = {
    "Entrypoint": ["sh", "-c"],
    "Cmd": ["id; pwd; echo $COLOUR"],
    "Env": ["PATH=/bin", "COLOUR=green"],
    "User": "web",
    "WorkingDir": "/srv/data",
    "StopSignal": "SIGTERM",
    "ExposedPorts": {"8080/tcp": {}, "53/udp": {}},
}


def write_layout(
    folder: Path,
    layers: Sequence[bytes] | None = None,
    *,
    config: Mapping[str, Any] = DEFAULTS,
    tag: str = "latest",
    compress: bool = True,
) -> str:
    """An OCI layout with one image (or one more); returns the manifest's digest."""
    contents = [base_layer(), top_layer()] if layers is None else list(layers)
    packed = [gzip.compress(item, mtime=0) if compress else item for item in contents]
    kind = f"{_LAYER}+gzip" if compress else _LAYER
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _blob(folder, _CONFIG, _image_config(contents, config)),
        "layers": [_blob(folder, kind, item) for item in packed],
    }
    descriptor = _blob(folder, _MANIFEST, json.dumps(manifest).encode())
    named = descriptor | {"annotations": {"org.opencontainers.image.ref.name": tag}}
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    index = folder / "index.json"
    others = json.loads(index.read_text())["manifests"] if index.exists() else []
    kept = [item for item in others if item["annotations"] != named["annotations"]]
    index.write_text(json.dumps({"schemaVersion": 2, "manifests": [*kept, named]}))
    return str(descriptor["digest"])


def write_docker_archive(path: Path, name: str = "test/app:1") -> None:
    """What `docker save` writes, with the base and the top layer."""
    contents = [base_layer(), top_layer()]
    config = _image_config(contents, DEFAULTS)
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    files = {config_name: config}
    names = []
    for content in contents:
        names.append(f"{hashlib.sha256(content).hexdigest()}/layer.tar")
        files[names[-1]] = content
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": names}]
    files["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(path, "w") as tar:
        for member, content in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _image_config(layers: Sequence[bytes], config: Mapping[str, Any]) -> bytes:
    digests = [f"sha256:{hashlib.sha256(item).hexdigest()}" for item in layers]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": digests},
    }
    return json.dumps(document).encode()


def _blob(folder: Path, kind: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    path = folder / "blobs" / "sha256" / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}
