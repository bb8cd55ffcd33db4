"""conmon's command line and the meaning of complaints."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.errors import NotFoundError, UnavailableError
from roost.runtime.conmon import Conmon, arguments, failure, runtime_arguments
from roost.runtime.records import Records


def test_arguments(tmp_path: Path) -> None:
    """Bundle, pid files, exit folder, log and the runtime's own options are named."""
    records = Records(tmp_path)
    conmon = Conmon(
        program=Path("/usr/bin/conmon"),
        runtime="crun",
        runtime_program=Path("/usr/bin/crun"),
        runtime_arguments=runtime_arguments("crun", records, cgroups=True),
        records=records,
    )
    line = arguments(conmon, "m1", log_file=Path("/log/m1"), tty=True)
    text = " ".join(line)
    assert f"-b {tmp_path / 'm1'}" in text
    assert f"--exit-dir {tmp_path / '.exits'}" in text
    assert "--log-path k8s-file:/log/m1" in text
    assert f"--runtime-arg --root={tmp_path / '.crun'}" in text
    assert "--runtime-arg --cgroup-manager=cgroupfs" in text
    assert "-t" == line[-1]


def test_runtime_arguments_without_cgroups(tmp_path: Path) -> None:
    """crun is told to leave cgroups alone; runc finds out by itself."""
    records = Records(tmp_path)
    assert "--cgroup-manager=disabled" in runtime_arguments("crun", records, cgroups=False)
    assert (f"--root={tmp_path / '.runc'}",) == runtime_arguments("runc", records, cgroups=False)


@pytest.mark.parametrize(
    "text",
    [
        "crun: executable file `/bin/x` not found in $PATH: No such file or directory",
        'runc create failed: unable to start container process: exec: "x": '
        "stat x: no such file or directory",
    ],
)
def test_missing_command(text: str) -> None:
    """Both runtimes' words for a missing command."""
    assert isinstance(failure("crun", text), NotFoundError)


def test_other_failures_are_quoted() -> None:
    """The last line is what the user gets, with the runtime's name."""
    error = failure("crun", "warning: x\ncannot mount proc\n")
    assert isinstance(error, UnavailableError)
    assert "crun failed: cannot mount proc" == error.message
    assert "it gave no reason" in failure("runc", "").message
