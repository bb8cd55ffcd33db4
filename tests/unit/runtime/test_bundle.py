"""config.json made from values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roost.images.host import host_image
from roost.runtime.base import ContainerSpec
from roost.runtime.bundle import CAPABILITIES, DEFAULT_PATH, INIT, Bind, Facts, config
from roost.runtime.users import User

SPEC = ContainerSpec(
    id="m1",
    image=host_image(),
    args=("server", "--port", "80"),
    env={"A": "1"},
    user="",
    working_dir="/data",
    hostname="m1",
    netns=Path("/run/netns/m1"),
    log_file=Path("/log"),
    cpus=1,
    memory=1 << 20,
)
FACTS = Facts(
    machine="x86_64",
    rootfs=Path("/root-of-m1"),
    init=Path("/usr/bin/catatonit"),
    rootless=False,
    devices_ruled=True,
    cgroups_path="/roost-1/m1",
    resources={"pids": {"limit": 1}},
    oom_score_adj=0,
)
ROOT = User(uid=0, gid=0, home="/root")
WEB = User(uid=1000, gid=1000, groups=(50,), home="/srv")


def _made(spec: ContainerSpec = SPEC, user: User = ROOT, facts: Facts = FACTS) -> Any:
    return config(spec, user, facts)


def test_init_runs_the_command() -> None:
    """The host's init is bound in, and is told to run the command."""
    made = _made()
    assert [INIT, "--", "server", "--port", "80"] == made["process"]["args"]
    bound = next(mount for mount in made["mounts"] if mount["destination"] == INIT)
    assert "/usr/bin/catatonit" == bound["source"]
    assert "ro" in bound["options"]


def test_without_init_the_command_is_first() -> None:
    """On a host without one, the command itself is process 1."""
    made = _made(facts=replace(FACTS, init=None))
    assert ["server", "--port", "80"] == made["process"]["args"]


def test_environment_defaults() -> None:
    """PATH and HOME are there unless given; TERM only with a terminal."""
    assert [f"PATH={DEFAULT_PATH}", "HOME=/root", "A=1"] == _made()["process"]["env"]
    own = replace(SPEC, env={"HOME": "/mine", "PATH": "/bin"}, tty=True)
    assert {"HOME=/mine", "PATH=/bin", "TERM=xterm"} == set(_made(own)["process"]["env"])


def test_capabilities_of_root_and_of_others() -> None:
    """Root holds the default set, others none; nobody gains any."""
    root, web = _made()["process"], _made(user=WEB)["process"]
    assert list(CAPABILITIES) == root["capabilities"]["effective"]
    assert [] == web["capabilities"]["effective"]
    assert list(CAPABILITIES) == web["capabilities"]["bounding"]
    assert root["noNewPrivileges"] is True
    assert [50] == web["user"]["additionalGids"]


def test_no_device_nodes_where_nothing_rules_devices() -> None:
    """Without a device cgroup, making a node of the host's disk must be impossible."""
    held = _made(facts=replace(FACTS, devices_ruled=False))["process"]["capabilities"]
    assert "CAP_MKNOD" not in held["effective"] + held["bounding"]


def test_namespaces() -> None:
    """Everything but the user is private, and the network is the one given."""
    namespaces = {entry["type"]: entry.get("path") for entry in _made()["linux"]["namespaces"]}
    assert {"pid", "mount", "ipc", "uts", "cgroup", "network"} == set(namespaces)
    assert "/run/netns/m1" == namespaces["network"]


def test_binds_are_read_only_and_not_recursive() -> None:
    """What is mounted below a shown folder of the host stays outside, but in a user namespace."""
    facts = replace(FACTS, binds=(Bind(source="/usr", target="/usr"),))
    shown = next(m for m in _made(facts=facts)["mounts"] if m["destination"] == "/usr")
    assert ["bind", "ro", "nosuid", "nodev", "private"] == shown["options"]
    inner = replace(facts, rootless=True)
    shown = next(m for m in _made(facts=inner)["mounts"] if m["destination"] == "/usr")
    assert "rbind" == shown["options"][0]


def test_app_folder() -> None:
    """The app's folder is at /app, read-only."""
    made = _made(replace(SPEC, app_dir=Path("/home/me/app")))
    shown = next(mount for mount in made["mounts"] if mount["destination"] == "/app")
    assert ("/home/me/app", True) == (shown["source"], "ro" in shown["options"])


def test_home_inside_a_shown_folder_is_masked() -> None:
    """A ROOST_HOME below /usr does not show through."""
    binds = (Bind(source="/usr", target="/usr"), Bind(source="/data", target="/seen"))
    facts = replace(FACTS, binds=binds, hidden=("/usr/lib/roost", "/data/roost", "/other"))
    masked = _made(facts=facts)["linux"]["maskedPaths"]
    assert "/usr/lib/roost" in masked
    assert "/seen/roost" in masked
    assert "/other" not in masked


@pytest.mark.parametrize("source", ["/data/roost", "/data/roost/", "/data/roost/run"])
def test_home_shown_itself_is_masked(source: str) -> None:
    """A bind of ROOST_HOME, or of a folder in it, shows nothing."""
    binds = (Bind(source=source, target="/seen"), Bind(source="/data/roost2", target="/other"))
    facts = replace(FACTS, binds=binds, hidden=("/data/roost",))
    masked = _made(facts=facts)["linux"]["maskedPaths"]
    assert "/seen" in masked
    assert not [path for path in masked if path.startswith("/other")]


@pytest.mark.parametrize(("folder", "masked"), [("/data/roost", "/app"), ("/data", "/app/roost")])
def test_home_in_the_app_folder_is_masked(folder: str, masked: str) -> None:
    """An app's folder that is or holds ROOST_HOME shows nothing of it."""
    facts = replace(FACTS, hidden=("/data/roost",))
    made = _made(replace(SPEC, app_dir=Path(folder)), facts=facts)
    assert masked in made["linux"]["maskedPaths"]


def test_user_namespace_leaves_out_what_it_cannot_have() -> None:
    """No group of terminals, no kernel parameters, no cgroup."""
    facts = replace(FACTS, rootless=True, cgroups_path=None, resources=None, set_groups=False)
    made = _made(user=WEB, facts=facts)
    terminals = next(m for m in made["mounts"] if m["destination"] == "/dev/pts")
    assert "gid=5" not in terminals["options"]
    assert {"sysctl", "cgroupsPath", "resources"}.isdisjoint(made["linux"])
    assert "additionalGids" not in made["process"]["user"]


def test_compiled_filter_is_handed_over() -> None:
    """A seccomp program that crun made before goes along as an annotation."""
    assert "annotations" not in _made()
    made = _made(facts=replace(FACTS, filter_program="AAAA"))
    assert {"run.oci.seccomp_bpf_data": "AAAA"} == made["annotations"]
