"""Reading skopeo's containers-storage directory: which folders are an image's layers. No writes.

| file                                   | what it tells                          |
|----------------------------------------|----------------------------------------|
| overlay-images/images.json             | id, names, and the top layer of images |
| overlay-images/<id>/=<base64 of key>   | the configuration, under its digest    |
| overlay-layers/layers.json             | id, parent and size of layers          |
| overlay/<layer>/diff                   | the unpacked layer                     |
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from roost.errors import InvalidError, UnavailableError
from roost.images.base import ImageConfig

MAX_LAYERS = 127


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class _ImageEntry(_Entry):
    id: str
    names: tuple[str, ...] | None = None
    layer: str = ""


class _LayerEntry(_Entry):
    id: str
    parent: str = ""
    size: int = Field(default=0, alias="diff-size")


class _Descriptor(_Entry):
    digest: str


class _Manifest(_Entry):
    config: _Descriptor


class _Defaults(_Entry):
    entrypoint: tuple[str, ...] | None = Field(default=None, alias="Entrypoint")
    cmd: tuple[str, ...] | None = Field(default=None, alias="Cmd")
    env: tuple[str, ...] | None = Field(default=None, alias="Env")
    user: str | None = Field(default=None, alias="User")
    working_dir: str | None = Field(default=None, alias="WorkingDir")
    stop_signal: str | None = Field(default=None, alias="StopSignal")
    ports: dict[str, object] | None = Field(default=None, alias="ExposedPorts")


class _Config(_Entry):
    config: _Defaults | None = None


_IMAGES = TypeAdapter(list[_ImageEntry])
_LAYERS = TypeAdapter(list[_LayerEntry])


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An image in the store. `layers` lowest first; `size` in bytes, unpacked."""

    id: str
    layers: tuple[Path, ...]
    size: int
    config: ImageConfig


def find(storage: Path, name: str) -> Stored:
    """The image of that name. Raises UnavailableError when the store does not have it whole."""
    try:
        images = _IMAGES.validate_json((storage / "overlay-images" / "images.json").read_bytes())
        layers = _LAYERS.validate_json((storage / "overlay-layers" / "layers.json").read_bytes())
        image = next(entry for entry in images if name in (entry.names or ()))
        chain = _chain(image.layer, {layer.id: layer for layer in layers})
        config = _config(storage / "overlay-images" / image.id)
    except (OSError, ValidationError, StopIteration, KeyError) as error:
        raise UnavailableError(
            f"the image store in {storage} cannot be read: {error!r}",
            hint="remove that folder; images are fetched again",
        ) from error
    return Stored(
        id=image.id,
        layers=tuple(storage / "overlay" / layer.id / "diff" for layer in chain),
        size=sum(layer.size for layer in chain),
        config=config,
    )


def ids(storage: Path) -> list[str]:
    """Ids of all images in the store."""
    path = storage / "overlay-images" / "images.json"
    if not path.exists():
        return []
    return [entry.id for entry in _IMAGES.validate_json(path.read_bytes())]


def _chain(top: str, layers: dict[str, _LayerEntry]) -> list[_LayerEntry]:
    chain: list[_LayerEntry] = []
    while top:
        chain.append(layers[top])
        top = layers[top].parent
        if len(chain) > MAX_LAYERS:
            raise InvalidError(f"the image has more than {MAX_LAYERS} layers")
    return chain[::-1]


def _config(folder: Path) -> ImageConfig:
    manifest = _Manifest.model_validate_json((folder / "manifest").read_bytes())
    key = "=" + base64.b64encode(manifest.config.digest.encode()).decode()
    return parse_config((folder / key).read_bytes())


def parse_config(document: bytes) -> ImageConfig:
    """Defaults out of an image's configuration (OCI image-spec config.md): pure.

    Raises pydantic.ValidationError for what is not one.
    """
    found = _Config.model_validate_json(document).config or _Defaults()
    pairs = (line.partition("=") for line in found.env or ())
    return ImageConfig(
        entrypoint=found.entrypoint or (),
        cmd=found.cmd or (),
        env=tuple((name, value) for name, _, value in pairs),
        user=found.user or "",
        working_dir=found.working_dir or "/",
        stop_signal=found.stop_signal or "",
        exposed_ports=tuple(sorted(_ports(found.ports or {}))),
    )


def _ports(ports: dict[str, object]) -> list[int]:
    numbers = (text.partition("/")[0] for text in ports)
    return [int(number) for number in numbers if number.isdecimal()]
