"""Image references."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import InvalidError
from roost.images.reference import Reference, parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("nginx", "docker://docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker://docker.io/library/nginx:1.27"),
        ("team/app", "docker://docker.io/team/app:latest"),
        ("docker.io/nginx", "docker://docker.io/library/nginx:latest"),
        ("ghcr.io/a/b/c:v1", "docker://ghcr.io/a/b/c:v1"),
        ("docker://ghcr.io/a/b", "docker://ghcr.io/a/b:latest"),
        ("host:5000/x", "docker://host:5000/x:latest"),
        ("oci:/a/b", "oci:/a/b:latest"),
        ("oci:/a/b:t", "oci:/a/b:t"),
        ("oci-archive:/a.tar", "oci-archive:/a.tar:latest"),
        ("docker-archive:/a.tar", "docker-archive:/a.tar"),
        ("docker-archive:/a.tar:x/y:1", "docker-archive:/a.tar:x/y:1"),
        ("oci", "docker://docker.io/library/oci:latest"),
    ],
)
def test_source(text: str, source: str) -> None:
    """What skopeo is asked for."""
    assert Reference(source=source) == parse(text)


@pytest.mark.parametrize("text", [f"x@{DIGEST}", f"x:tag@{DIGEST}"])
def test_pinned(text: str) -> None:
    """A digest pins the image, whatever tag stands beside it."""
    expected = f"docker://docker.io/library/x@{DIGEST}"
    assert Reference(source=expected, digest=DIGEST) == parse(text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("localhost/x", True),
        ("localhost:5000/x", True),
        ("127.0.0.1:5000/x", True),
        ("127.9.9.9/x", True),
        ("[::1]:5000/x", True),
        ("reg.localhost/x", True),
        ("10.0.0.1:5000/x", False),
        ("localhost.example.com/x", False),
        ("ghcr.io/x", False),
    ],
)
def test_loopback_needs_no_tls(text: str, *, plain: bool) -> None:
    """Only registries that nobody else can be are spoken to in the clear."""
    assert plain is parse(text).plain_http


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Upper/case",
        "a//b",
        "a b",
        "a\nb",
        "x:",
        "x:-bad",
        "x@sha256:abc",
        "x@md5:" + "a" * 32,
        "-x",
        "oci:relative",
        "oci:/a/../b",
        "http://x",
        "x" * 600,
        ":tag",
        "@" + DIGEST,
    ],
)
def test_refused(text: str) -> None:
    """Nothing malformed reaches skopeo, and the hint shows what works."""
    with pytest.raises(InvalidError) as caught:
        parse(text)
    assert "nginx" in str(caught.value.hint)


@given(st.text(max_size=60))
def test_never_an_option(text: str) -> None:
    """Whatever is written, what skopeo gets starts with a transport and has no spaces."""
    try:
        source = parse(text).source
    except InvalidError:
        return
    kind = source.partition(":")[0]
    assert kind in ("docker", "oci", "oci-archive", "docker-archive")
    assert " " not in source
