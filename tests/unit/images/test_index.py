"""What is remembered of resolved images."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.images.base import Image, ImageConfig
from roost.images.index import Index, Known

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def known(tmp_path: Path) -> Known:
    """An image whose layer exists."""
    layer = tmp_path / "layer"
    layer.mkdir()
    config = ImageConfig(cmd=("run",), env=(("A", "b"),), exposed_ports=(80,))
    image = Image(reference="x:1", digest=DIGEST, config=config, layers=(layer,))
    return Known(id="img", image=image)


def test_round_trip(tmp_path: Path, known: Known) -> None:
    """What is put is found by reference and by digest, also by another process."""
    Index(tmp_path / "index").put("docker://x:1", known)
    index = Index(tmp_path / "index")
    assert DIGEST == index.digest("docker://x:1")
    assert known.image == index.get(DIGEST)
    renamed = index.get(DIGEST, reference="y")
    assert renamed is not None
    assert "y" == renamed.reference
    assert [known] == [entry for entry, _ in index.all()]


def test_without_its_layer(tmp_path: Path, known: Known) -> None:
    """An image whose layer was removed is not trusted."""
    index = Index(tmp_path / "index")
    index.put("docker://x:1", known)
    known.image.layers[0].rmdir()
    assert index.get(DIGEST) is None


def test_half_written(tmp_path: Path, known: Known) -> None:
    """A cut-off file, and one whose writing never ended, are as none."""
    index = Index(tmp_path / "index")
    index.put("docker://x:1", known)
    path = next((tmp_path / "index/images").iterdir())
    path.with_name(path.name + ".new").write_text("{")
    assert [known] == [entry for entry, _ in index.all()]
    path.write_text('{"id": "img", "im')
    assert index.get(DIGEST) is None
    assert [] == list(index.all())


def test_dropped(tmp_path: Path, known: Known) -> None:
    """A dropped image takes its references along; strange digests find nothing."""
    index = Index(tmp_path / "index")
    index.put("docker://x:1", known)
    index.put("docker://x:2", known)
    index.drop(DIGEST)
    assert ("", "", None) == (
        index.digest("docker://x:1"),
        index.digest("docker://x:2"),
        index.get(DIGEST),
    )
    assert index.get("../../etc") is None
    index.drop(DIGEST)
