"""Looking into and writing into an image's root without leaving it."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.errors import InvalidError, NotFoundError
from roost.runtime.base import Mounted
from roost.runtime.rootfs import check_command, make_folder, read_file, write_files

PATH = "/usr/bin:/bin"


def _program(path: Path, mode: int = 0o755) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)


def _check(root: Path, command: str, working_dir: str = "/", **binds: Path) -> None:
    roots = {"/": root, **{f"/{name}": folder for name, folder in binds.items()}}
    check_command(roots, command, PATH, working_dir)


def test_symlinks_stay_inside(tmp_path: Path) -> None:
    """An absolute symlink, or one with many dots, leads into the image, not into the host."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "etc").mkdir(parents=True)
    outside.write_text("secret")
    (root / "etc/passwd").symlink_to(outside)
    (root / "etc/group").symlink_to("../../../../../../outside")
    assert "" == read_file(root, "etc/passwd")
    assert "" == read_file(root, "etc/group")
    (root / "outside").write_text("own")
    assert "own" == read_file(root, "etc/group")


def test_files_replace_links(tmp_path: Path) -> None:
    """Writing over a symlink replaces it; missing folders are made; the mode is kept."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "etc").mkdir(parents=True)
    outside.write_text("secret")
    (root / "etc/hosts").symlink_to(outside)
    write_files(
        root,
        (
            Mounted(path="/etc/hosts", content=b"new"),
            Mounted(path="/a/b/c.sh", content=b"x", mode=0o700),
        ),
    )
    assert "secret" == outside.read_text()
    assert b"new" == (root / "etc/hosts").read_bytes()
    assert 0o100700 == (root / "a/b/c.sh").stat().st_mode


def test_folder_links_stay_inside(tmp_path: Path) -> None:
    """A folder that is a symlink to the host's is resolved inside."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (root / "data").mkdir(parents=True)
    (root / "link").symlink_to("/data")
    (root / "bad").symlink_to(outside)
    write_files(root, (Mounted(path="/link/f", content=b"x"),))
    assert b"x" == (root / "data/f").read_bytes()
    with pytest.raises(InvalidError, match="cannot be written"):
        write_files(root, (Mounted(path="/bad/f", content=b"x"),))
    assert [] == list(outside.iterdir())


@pytest.mark.parametrize("path", ["/", "/etc/..", "/etc/", "."])
def test_not_a_file(tmp_path: Path, path: str) -> None:
    """A path that names no file is refused."""
    with pytest.raises(InvalidError):
        write_files(tmp_path, (Mounted(path=path, content=b""),))


def test_working_folder_is_made(tmp_path: Path) -> None:
    """A WORKDIR that the image lacks appears, with its parents."""
    make_folder(tmp_path, "/srv/app/./data")
    assert (tmp_path / "srv/app/data").is_dir()
    make_folder(tmp_path, "/")


def test_command_in_path(tmp_path: Path) -> None:
    """A bare name is looked for in PATH, also through links inside the image."""
    _program(tmp_path / "opt/real")
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/tool").symlink_to("/opt/real")
    _check(tmp_path, "tool")
    with pytest.raises(NotFoundError, match="'other' is not in the image"):
        _check(tmp_path, "other")


def test_command_by_path(tmp_path: Path) -> None:
    """A name with a slash is taken as it is, relative to the working folder."""
    _program(tmp_path / "srv/run.sh")
    _check(tmp_path, "/srv/run.sh")
    _check(tmp_path, "./run.sh", "/srv")
    with pytest.raises(NotFoundError):
        _check(tmp_path, "./run.sh", "/")


def test_command_that_cannot_be_run(tmp_path: Path) -> None:
    """A file without the executable bit, and a folder, are told apart from nothing."""
    _program(tmp_path / "srv/data", 0o644)
    for command in ("/srv/data", "/srv"):
        with pytest.raises(NotFoundError, match="not an executable file"):
            _check(tmp_path, command)
    with pytest.raises(InvalidError):
        _check(tmp_path, "")


def test_command_in_a_bind(tmp_path: Path) -> None:
    """The app's folder is looked into; a link out of it is followed inside the image."""
    root, app = tmp_path / "root", tmp_path / "folder"
    _program(root / "usr/bin/python3")
    _program(app / "server")
    (app / "python").symlink_to("/usr/bin/python3")
    (app / "host").symlink_to(tmp_path / "folder/server")
    _check(root, "/app/server", app=app)
    _check(root, "./server", "/app", app=app)
    _check(root, "/app/python", app=app)
    with pytest.raises(NotFoundError):
        _check(root, "/app/nothing", app=app)
    with pytest.raises(NotFoundError):
        _check(root, "/app/host", app=app)
