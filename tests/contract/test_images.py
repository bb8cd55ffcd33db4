"""What every image store must do, the one for tests included."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from roost.errors import InvalidError, NotFoundError
from roost.images.base import HOST_IMAGE, ImageConfig, ImageStore
from roost.images.fake import FakeImages
from roost.images.store import SkopeoImages
from tests.support.images import top_layer, write_layout
from tests.support.namespaces import run_isolated
from tests.support.runtime import short_home

Revise = Callable[[], None]
Body = Callable[[ImageStore, str, Revise], Awaitable[None]]
Run = Callable[[Body], None]

CONFIG = ImageConfig(cmd=("true",), env=(("COLOUR", "green"),), user="web")


@pytest.fixture(params=["fake", pytest.param("skopeo", marks=pytest.mark.root)])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a body with a store, a reference that exists, and a way to push another image to it."""

    def runner(body: Body) -> None:
        with short_home() as home:
            layout = home.root / "layout"
            reference = f"oci:{layout}:v1"
            if request.param == "fake":
                fake = FakeImages({reference: CONFIG})
                asyncio.run(_awaited(body(fake, reference, lambda: fake.revise(reference))))
                return
            defaults = {"Cmd": ["true"], "Env": ["COLOUR=green"], "User": "web"}

            def revise(text: str = "revised") -> None:
                write_layout(layout, [top_layer(text)], config=defaults, tag="v1")

            revise("first")
            store = SkopeoImages(home, grace=0)
            run_isolated(lambda: _awaited(body(store, reference, revise)), network=False)

    return runner


async def _awaited(work: Awaitable[None]) -> None:
    await work


def test_host_image(run: Run) -> None:
    """roost/host needs no pull, has one layer, and is found by its digest."""

    async def body(store: ImageStore, _: str, __: Revise) -> None:
        image = await store.pull(HOST_IMAGE)
        assert (HOST_IMAGE, "host", 1) == (image.reference, image.digest, len(image.layers))
        assert image == await store.pull(HOST_IMAGE, always=True)
        assert image == await store.get("host")

    run(body)


def test_pulled_image(run: Run) -> None:
    """A pull gives reference, digest, defaults and layers; the digest finds the same again."""

    async def body(store: ImageStore, reference: str, _: Revise) -> None:
        image = await store.pull(reference)
        assert (reference, CONFIG) == (image.reference, image.config)
        assert image.digest.startswith("sha256:")
        assert 1 == len(image.layers)
        assert image == await store.get(image.digest)
        assert await store.get("sha256:" + "0" * 64) is None

    run(body)


def test_tag_is_resolved_once(run: Run) -> None:
    """A tag keeps its image until somebody asks to resolve it anew; the old one stays."""

    async def body(store: ImageStore, reference: str, revise: Revise) -> None:
        first = await store.pull(reference)
        revise()
        assert first == await store.pull(reference)
        second = await store.pull(reference, always=True)
        assert first.digest != second.digest
        assert second == await store.pull(reference)
        assert first == await store.get(first.digest)

    run(body)


def test_at_the_same_time(run: Run) -> None:
    """Pulls of one reference at once all get the one image."""

    async def body(store: ImageStore, reference: str, _: Revise) -> None:
        async with asyncio.TaskGroup() as group:
            pulls = [group.create_task(store.pull(reference, always=True)) for _ in range(5)]
        assert 1 == len({pull.result() for pull in pulls})

    run(body)


def test_missing(run: Run) -> None:
    """What does not exist is NotFoundError, what is no reference InvalidError."""

    async def body(store: ImageStore, reference: str, _: Revise) -> None:
        with pytest.raises(NotFoundError, match="does not exist"):
            await store.pull(reference + "x")
        with pytest.raises(InvalidError):
            await store.pull("Upper/Case")

    run(body)


def test_prune(run: Run) -> None:
    """prune keeps what it is told to keep, and the rest is gone and can be pulled again."""

    async def body(store: ImageStore, reference: str, revise: Revise) -> None:
        first = await store.pull(reference)
        revise()
        second = await store.pull(reference, always=True)
        await store.prune(frozenset({second.digest}))
        assert await store.get(first.digest) is None
        assert second == await store.get(second.digest)
        await store.prune(frozenset())
        assert await store.get(second.digest) is None
        assert replace(second) == await store.pull(reference)

    run(body)
