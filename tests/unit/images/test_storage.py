"""Reading skopeo's store."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from roost.errors import UnavailableError
from roost.images.base import ImageConfig
from roost.images.storage import find, ids, parse_config


def _store(folder: Path) -> None:
    digest = "sha256:" + "c" * 64
    images = [{"id": "img", "names": ["localhost/roost:a"], "layer": "l2", "more": 1}, {"id": "x"}]
    layers = [{"id": "l2", "parent": "l1", "diff-size": 5}, {"id": "l1", "diff-size": 7}]
    key = "=" + base64.b64encode(digest.encode()).decode()
    files = {
        "overlay-images/images.json": images,
        "overlay-layers/layers.json": layers,
        "overlay-images/img/manifest": {"config": {"digest": digest}},
        f"overlay-images/img/{key}": {"config": {"Cmd": ["run"]}},
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


def test_find(tmp_path: Path) -> None:
    """Layers come lowest first, sizes are added up, defaults are read."""
    _store(tmp_path)
    stored = find(tmp_path, "localhost/roost:a")
    assert ("img", 12, ("run",)) == (stored.id, stored.size, stored.config.cmd)
    assert ["l1", "l2"] == [layer.parent.name for layer in stored.layers]
    assert ["img", "x"] == ids(tmp_path)


@pytest.mark.parametrize("broken", ["overlay-layers/layers.json", "overlay-images/img/manifest"])
def test_broken_store(tmp_path: Path, broken: str) -> None:
    """A store that cannot be read is said so, with the way out."""
    _store(tmp_path)
    (tmp_path / broken).write_text("[")
    with pytest.raises(UnavailableError, match="cannot be read") as caught:
        find(tmp_path, "localhost/roost:a")
    assert "remove that folder" in str(caught.value.hint)


def test_unknown_name(tmp_path: Path) -> None:
    """An image that is not there is no crash; an empty store has no ids."""
    assert [] == ids(tmp_path)
    _store(tmp_path)
    with pytest.raises(UnavailableError):
        find(tmp_path, "localhost/roost:b")


def test_config() -> None:
    """Every default is read; null and absent are the same."""
    document: dict[str, object] = {
        "config": {
            "Entrypoint": ["/init"],
            "Cmd": None,
            "Env": ["A=b=c", "EMPTY="],
            "User": "web",
            "WorkingDir": "/srv",
            "StopSignal": "SIGQUIT",
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "odd": {}},
        }
    }
    assert ImageConfig(
        entrypoint=("/init",),
        env=(("A", "b=c"), ("EMPTY", "")),
        user="web",
        working_dir="/srv",
        stop_signal="SIGQUIT",
        exposed_ports=(53, 80),
    ) == parse_config(json.dumps(document).encode())
    assert ImageConfig() == parse_config(b"{}")
