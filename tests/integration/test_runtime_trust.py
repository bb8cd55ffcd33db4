"""What a Machine's programs trust, on images of all kinds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roost.pki import pem
from roost.pki.root import Scope, new_root
from roost.runtime import rootfs
from roost.runtime.trust import ADDED, BUNDLE, ROOTS, TrustLayers, environment
from tests.support.namespaces import isolated
from tests.support.runtime import container, oci_runtime, run_to_end, short_home

pytestmark = pytest.mark.root

PUBLIC = "public roots\n"
OURS = ("first root\n", "second root\n")
OWN = "".join(OURS)


class World:
    """A home for layers, a host with a bundle, and images made of folders."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.host = self.image("host", {BUNDLE: "the host's\n"})
        self.used: set[Path] = set()
        self.trust = TrustLayers(top / "trust", lambda: frozenset(self.used), host=self.host)

    def image(self, name: str, files: dict[str, str], **links: str) -> Path:
        """An image of one layer; `links` by path with `__` for slashes."""
        layer = self.top / name
        for path, text in files.items():
            place = layer / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        for path, target in links.items():
            place = layer / path.replace("__", "/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)
        layer.mkdir(exist_ok=True)
        return layer

    @contextmanager
    def machine(
        self, image: Path, roots: tuple[str, ...] = OURS, env: dict[str, str] | None = None
    ) -> Iterator[Path]:
        """A Machine's root file system."""
        with (
            self.trust.over(
                [image], roots, image=image.name, env=env or {}, rootless=False
            ) as layer,
            rootfs.mounted((image, layer), self.top / "scratch", rootless=False) as root,
        ):
            yield root
        rootfs.clear(self.top / "scratch")

    @property
    def layers(self) -> list[Path]:
        return sorted((self.top / "trust").iterdir())


@isolated
async def test_the_images_own_bundle_gets_the_roots() -> None:
    """On Debian, Alpine and Fedora, links followed or replaced, with the image's modes."""
    with short_home() as home:
        world = World(home.root)
        debian = world.image("debian", {BUNDLE: PUBLIC, f"{ADDED}/corp.crt": "corp\n"})
        (debian / "etc/ssl").chmod(0o750)
        alpine = world.image("alpine", {BUNDLE: PUBLIC})
        (alpine / "etc/ssl/cert.pem").symlink_to("certs/ca-certificates.crt")
        extracted = "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"
        fedora = world.image("fedora", {extracted: PUBLIC})
        (fedora / "etc/pki/tls/certs").mkdir(parents=True)
        (fedora / "etc/pki/tls/certs/ca-bundle.crt").symlink_to(f"/{extracted}")
        for image, places in (
            (debian, (BUNDLE,)),
            (alpine, (BUNDLE, "etc/ssl/cert.pem")),
            (fedora, (BUNDLE, extracted, "etc/pki/tls/certs/ca-bundle.crt")),
        ):
            with world.machine(image) as root:
                for place in places:
                    assert rootfs.read_file(root, place) == PUBLIC + OWN, (image, place)
                assert rootfs.read_file(root, ROOTS) == OWN
                if image == debian:
                    assert (root / "etc/ssl").stat().st_mode & 0o777 == 0o750
                    added = sorted(path.name for path in (root / ADDED[1:]).iterdir())
                    assert added == ["corp.crt", "roost-0.crt", "roost-1.crt"]
                    (root / BUNDLE[1:]).write_text("its own affair")
        with world.machine(debian) as root:
            assert rootfs.read_file(root, BUNDLE) == PUBLIC + OWN


@isolated
async def test_an_image_without_roots_gets_the_hosts() -> None:
    """Since the environment names the bundle, and programs read it instead of their own."""
    with short_home() as home:
        world = World(home.root)
        with world.machine(world.image("scratch", {"app": "x"})) as root:
            assert rootfs.read_file(root, BUNDLE) == "the host's\n" + OWN
            assert rootfs.read_file(root, ROOTS) == OWN
            assert not (root / ADDED[1:]).exists()


@isolated
async def test_bundles_that_the_image_names_itself_are_kept_and_completed() -> None:
    """A company's image that trusts a company's root goes on doing so."""
    with short_home() as home:
        world = World(home.root)
        image = world.image("corp", {"opt/corp.pem": "corp\n", "nix/bundle.crt": PUBLIC})
        env = {
            "SSL_CERT_FILE": "/nix/bundle.crt",
            "NODE_EXTRA_CA_CERTS": "/opt/corp.pem",
            "CURL_CA_BUNDLE": "/missing.pem",
        }
        with world.machine(image, env=env) as root:
            assert rootfs.read_file(root, "nix/bundle.crt") == PUBLIC + OWN
            assert rootfs.read_file(root, "opt/corp.pem") == "corp\n" + OWN
            assert not (root / "missing.pem").exists()


@isolated
async def test_an_image_cannot_have_the_host_written() -> None:
    """Links of a hostile image lead nowhere but into it."""
    with short_home() as home:
        world = World(home.root)
        outside = world.image("outside", {"certs/ca-certificates.crt": "mine"})
        hostile = world.image("hostile", {"x": ""}, etc__ssl=str(outside))
        with world.machine(hostile, env={"SSL_CERT_FILE": "/../../outside/x"}) as root:
            assert rootfs.read_file(root, ROOTS) == OWN
        assert [path.name for path in outside.rglob("*")] == ["certs", "ca-certificates.crt"]
        assert (outside / "certs/ca-certificates.crt").read_text() == "mine"


@isolated
async def test_a_layer_is_made_once_and_removed_when_nobody_uses_it() -> None:
    """Machines of one image and one organization share it; a rotation makes another."""
    with short_home() as home:
        world = World(home.root)
        image = world.image("debian", {BUNDLE: PUBLIC})
        with world.machine(image):
            (first,) = world.layers
        before = (first / BUNDLE[1:]).stat().st_ino
        with world.machine(image):
            assert world.layers == [first]
        assert (first / BUNDLE[1:]).stat().st_ino == before
        with world.machine(image, OURS[:1]):
            assert len(world.layers) == 2
        world.used.add(first)
        world.trust.prune()
        assert world.layers == [first]
        world.used.clear()
        with world.trust.over([image], OURS, image=image.name, env={}, rootless=False) as held:
            world.trust.prune()
            assert world.layers == [held]
        world.trust.prune()
        assert world.layers == []


LOOK = """
import json, os, ssl
print(json.dumps({
    "subjects": [str(c["subject"]) for c in ssl.create_default_context().get_ca_certs()],
    "alone": open(os.environ["NODE_EXTRA_CA_CERTS"]).read(),
}))
"""


@isolated
async def test_programs_in_a_container_trust_the_roots_and_the_public_ones() -> None:
    """Python's default context has both, on the host's image too; the record keeps the layer."""
    root = pem.chain_text(
        [new_root("acme", Scope(), mark="t", now_ms=1_790_000_000_000).certificate]
    )
    with short_home() as home:
        spec = container(home, "python3", "-c", LOOK, env=environment((root,)))
        async with oci_runtime(home) as runtime:
            ended, text = await run_to_end(runtime, dataclasses.replace(spec, roots=(root,)))
            (layer,) = (home.root / "trust").iterdir()
            await runtime.setup()
            assert layer.is_dir()
            await runtime.delete(spec.id)
            await runtime.setup()
            assert not layer.exists()
    assert ended.exit_code == 0, text
    seen = json.loads(text)
    assert seen["alone"] == root
    assert any("Roost CA t" in subject for subject in seen["subjects"])
    assert len(seen["subjects"]) > 50
