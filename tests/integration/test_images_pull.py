"""Images through the real skopeo: layers on the disk, archives, a registry, and bad input."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from roost.errors import InvalidError, NotFoundError, RoostError, UnavailableError
from roost.home import Home
from roost.images.base import Image
from roost.images.store import SkopeoImages
from roost.runtime.rootfs import mounted
from tests.support.images import (
    BUSYBOX,
    Entry,
    base_layer,
    layer,
    top_layer,
    write_docker_archive,
    write_layout,
)
from tests.support.namespaces import isolated
from tests.support.runtime import container, oci_runtime, run_to_end, short_home

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not BUSYBOX.exists(), reason="needs a static busybox (busybox-static)"),
]

REGISTRY_CONFIG = """\
version: 0.1
storage:
  filesystem:
    rootdirectory: {folder}
http:
  addr: 127.0.0.1:{port}
"""


def _tree(image: Image, home: Home) -> dict[str, str]:
    """Names and contents of the small files of the mounted image."""
    with mounted(image.layers, home.root / "scratch", rootless=False) as root:
        return {
            str(path.relative_to(root)): path.read_text()
            for path in root.rglob("*")
            if path.is_file() and path.stat().st_size < 1000
        }


@isolated
async def test_whiteouts() -> None:
    """A file taken away and a folder replaced by an upper layer are gone from the image."""
    with short_home() as home:
        write_layout(home.root / "layout")
        image = await SkopeoImages(home).pull(f"oci:{home.root / 'layout'}")
        names = set(_tree(image, home))
    assert {"etc/passwd", "etc/group", "emptied/new", "text"} == names


@isolated
async def test_layers_are_shared() -> None:
    """Two images with one base have one folder for it, unpacked once."""
    with short_home() as home:
        layout = home.root / "layout"
        write_layout(layout, [base_layer(), top_layer("a")], tag="a")
        write_layout(layout, [base_layer(), top_layer("b")], tag="b")
        store = SkopeoImages(home)
        one, two = await store.pull(f"oci:{layout}:a"), await store.pull(f"oci:{layout}:b")
        assert one.layers[0] == two.layers[0]
        assert one.layers[1] != two.layers[1]
        assert 3 == len(list((home.images / "storage/overlay").glob("*/diff")))
        assert ("a", "b") == (_tree(one, home)["text"], _tree(two, home)["text"])


@isolated
async def test_prune_keeps_shared_layers() -> None:
    """Pruning one of two images that share a layer leaves the other whole."""
    with short_home() as home:
        layout = home.root / "layout"
        write_layout(layout, [base_layer(), top_layer("a")], tag="a")
        write_layout(layout, [base_layer(), top_layer("b")], tag="b")
        store = SkopeoImages(home, grace=0)
        one, two = await store.pull(f"oci:{layout}:a"), await store.pull(f"oci:{layout}:b")
        await store.prune(frozenset({two.digest}))
        assert not one.layers[1].exists()
        assert "b" == _tree(two, home)["text"]


@isolated
async def test_asked_for_just_now_is_kept() -> None:
    """An image that was just resolved is not pruned although nobody runs it yet."""
    with short_home() as home:
        write_layout(home.root / "layout")
        store = SkopeoImages(home)
        image = await store.pull(f"oci:{home.root / 'layout'}")
        await store.prune(frozenset())
        assert image == await store.get(image.digest)


@isolated
async def test_docker_archive() -> None:
    """What `docker save` writes is an image like any other."""
    with short_home() as home:
        archive = home.root / "saved.tar"
        write_docker_archive(archive)
        image = await SkopeoImages(home).pull(f"docker-archive:{archive}:docker.io/test/app:1")
        assert "top" == _tree(image, home)["text"]
        assert ("sh", "-c") == image.config.entrypoint


@isolated
async def test_run_with_its_defaults() -> None:
    """USER with its groups, WORKDIR (made), ENV and the command are the image's."""
    with short_home() as home:
        write_layout(home.root / "layout")
        image = await SkopeoImages(home).pull(f"oci:{home.root / 'layout'}")
        async with oci_runtime(home) as runtime:
            ended, text = await run_to_end(
                runtime,
                container(
                    home,
                    *image.config.entrypoint,
                    *image.config.cmd,
                    image=image,
                    env=dict(image.config.env),
                    user=image.config.user,
                    working_dir=image.config.working_dir,
                ),
            )
        assert (0, (8080, 53)) == (ended.exit_code, image.config.exposed_ports[::-1])
        assert [
            "uid=1000(web) gid=1000(web) groups=1234(extra)",
            "/srv/data",
            "green",
        ] == text.splitlines()


@isolated
async def test_nothing_is_written_into_layers() -> None:
    """A Machine that writes, and one that deletes, leave the layers as they were."""
    with short_home() as home:
        write_layout(home.root / "layout")
        image = await SkopeoImages(home).pull(f"oci:{home.root / 'layout'}")
        before = _tree(image, home)
        script = "echo x > /text; echo y > /new; rm -r /emptied; cat /text"
        async with oci_runtime(home) as runtime:
            spec = container(home, "sh", "-c", script, image=image, env={"PATH": "/bin"})
            assert (0, "x\n") == ((end := await run_to_end(runtime, spec))[0].exit_code, end[1])
        assert before == _tree(image, home)


@contextlib.asynccontextmanager
async def _registry(folder: Path) -> AsyncIterator[int]:
    """Debian's docker-registry on a free port of the test's own loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = folder / "registry.yml"
    config.write_text(REGISTRY_CONFIG.format(folder=folder / "registry", port=port))
    process = await asyncio.create_subprocess_exec(
        "docker-registry",
        "serve",
        str(config),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            while b"listening on" not in await process.stderr.readline():
                assert process.returncode is None
        yield port
    finally:
        process.kill()
        await process.communicate()


async def _push(layout: Path, target: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "skopeo",
        "copy",
        "--quiet",
        "--insecure-policy",
        "--dest-tls-verify=false",
        f"oci:{layout}:latest",
        f"docker://{target}",
    )
    assert 0 == await process.wait()


@isolated
async def test_registry() -> None:
    """Pushed to a registry on loopback: pulled by tag and by digest, run, and remembered."""
    with short_home() as home:
        store = SkopeoImages(home)
        layout = home.root / "layout"
        digest = write_layout(layout)
        async with _registry(home.root) as port:
            name = f"127.0.0.1:{port}/team/app"
            await _push(layout, f"{name}:1")
            image = await store.pull(f"{name}:1")
            assert digest == image.digest
            with pytest.raises(NotFoundError, match="does not exist"):
                await store.pull(f"{name}:2")
            with pytest.raises(NotFoundError, match="does not exist"):
                await store.pull(f"127.0.0.1:{port}/nobody/nothing")
        assert image.layers == (await store.pull(f"{name}@{digest}", always=True)).layers
        assert image == await store.pull(f"{name}:1")
        with pytest.raises(UnavailableError, match="cannot be reached"):
            await store.pull(f"{name}:1", always=True)
        async with oci_runtime(home) as runtime:
            spec = container(home, "cat", "/text", image=image, env={"PATH": "/bin"})
            assert "top" == (await run_to_end(runtime, spec))[1].strip()


@isolated
async def test_credentials_are_used() -> None:
    """An unreadable credentials file is noticed, so a readable one is used."""
    with short_home() as home:
        (home.root / "auth.json").write_text("not json")
        with pytest.raises(RoostError) as caught:
            await SkopeoImages(home).pull("localhost:1/x")
        assert "auth.json" in str(caught.value)


@isolated
async def test_unreachable() -> None:
    """No registry there: one sentence with its name, and a hint."""
    with short_home() as home:
        with pytest.raises(UnavailableError, match="registry of image localhost:1/x") as caught:
            await SkopeoImages(home).pull("localhost:1/x")
        assert caught.value.hint


@isolated
async def test_malformed() -> None:
    """An archive that is none is the user's mistake, said in one sentence."""
    with short_home() as home:
        archive = home.root / "bad.tar"
        archive.write_bytes(b"not a tar at all" * 1000)
        with pytest.raises(InvalidError, match="malformed"):
            await SkopeoImages(home).pull(f"docker-archive:{archive}")


@isolated
async def test_wrong_digest() -> None:
    """A layer whose bytes were changed is refused, and nothing of the image is kept."""
    with short_home() as home:
        layout = home.root / "layout"
        write_layout(layout, [top_layer()], compress=False)
        blob = max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
        content = bytearray(blob.read_bytes())
        content[-1024] ^= 1
        blob.write_bytes(content)
        store = SkopeoImages(home)
        with pytest.raises(InvalidError, match="malformed"):
            await store.pull(f"oci:{layout}")
        assert [] == list((home.images / "storage/overlay").glob("*/diff"))


@pytest.mark.parametrize(
    "entry",
    [
        Entry(name="../outside", content=b"x"),
        Entry(name="a/../../outside", content=b"x"),
        Entry(name="hard", link="../../outside", hard=True),
    ],
)
def test_paths_that_leave_the_layer(entry: Entry) -> None:
    """A layer that tries to write or link above its root fails, or stays inside."""

    @isolated
    async def body() -> None:
        with short_home() as home:
            write_layout(home.root / "layout", [layer(entry)])
            with contextlib.suppress(RoostError):
                await SkopeoImages(home).pull(f"oci:{home.root / 'layout'}")
            found = [p for p in home.root.rglob("outside") if "diff" not in p.parts]
            assert [] == found
            assert not (home.root.parent / "outside").exists()

    body()


@isolated
async def test_link_out_of_the_layer() -> None:
    """Writing through a link to the host's root stays in the layer."""
    with short_home() as home:
        target = home.root / "target"
        target.mkdir()
        bad = layer(
            Entry(name="exit", link=str(target)),
            Entry(name="exit/file", content=b"x"),
        )
        write_layout(home.root / "layout", [bad])
        with contextlib.suppress(RoostError):
            await SkopeoImages(home).pull(f"oci:{home.root / 'layout'}")
        assert [] == list(target.iterdir())
