"""What a container needs before the OCI runtime makes it: its root, its record, its config."""

from __future__ import annotations

import contextlib
import functools
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from roost.errors import InvalidError
from roost.home import Home
from roost.images.base import HOST_IMAGE
from roost.runtime import bundle as oci_bundle
from roost.runtime import rootfs
from roost.runtime.base import ContainerSpec
from roost.runtime.detect import Detected
from roost.runtime.groups import Groups
from roost.runtime.hierarchy import CgroupMode
from roost.runtime.host_view import HostRoot, HostView
from roost.runtime.limits import Limits, oci_resources
from roost.runtime.records import Record, Records
from roost.runtime.seccomp import profile_key
from roost.runtime.trust import TrustLayers
from roost.runtime.users import User, resolve_user


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    """The places and the host that containers are prepared in."""

    home: Home
    scratch: Path
    records: Records
    host_view: HostView
    trust: TrustLayers
    groups: Groups
    detected: Detected

    def prepare(self, spec: ContainerSpec, limits: Limits, stack: contextlib.ExitStack) -> None:
        """Everything before the OCI runtime: some milliseconds of file system work."""
        host = self.host_view.current() if spec.image.reference == HOST_IMAGE else None
        layers = spec.image.layers if host is None else (host.layer,)
        trusted = self._trusted(spec, layers, host, stack)
        scratch = self.scratch / self.records.bundle(spec.id).name
        root = stack.enter_context(
            rootfs.mounted((*layers, *trusted), scratch, rootless=self.detected.rootless)
        )
        user = self._user(spec, root)
        binds = {} if host is None else {bind.target: Path(bind.source) for bind in host.binds}
        places = rootfs.app_roots(root, binds, spec.app_dir)
        search = spec.env.get("PATH", oci_bundle.DEFAULT_PATH)
        rootfs.make_folder(root, spec.working_dir or "/", user.uid, user.gid)
        rootfs.write_files(root, spec.files)
        command = spec.args[0] if spec.args else ""
        rootfs.check_command(places, command, search, spec.working_dir or "/")
        facts = self._facts(spec.id, root, limits, host)
        record = Record(
            runtime=self.detected.runtime,
            labels=spec.labels,
            process=oci_bundle.process(spec, user, facts),
            host_layer="" if host is None else str(host.layer),
            trust_layer=str(trusted[0]) if trusted else "",
        )
        spec.log_file.parent.mkdir(parents=True, exist_ok=True)
        self.records.begin(spec.id, oci_bundle.config(spec, user, facts), record)

    def keep_filter(self, container: str) -> None:
        """Keep the system call filter that crun compiled for it, for those that come."""
        if self.detected.runtime == "crun" and not self._filter_program():
            self.records.keep_filter(container, _filter_key())

    def _trusted(
        self,
        spec: ContainerSpec,
        layers: Sequence[Path],
        host: HostRoot | None,
        stack: contextlib.ExitStack,
    ) -> tuple[Path, ...]:
        """The layer with what the Machine trusts, if it is given any roots."""
        if not spec.roots:
            return ()
        layer = self.trust.over(
            layers,
            spec.roots,
            image=spec.image.digest if host is None else str(host.layer),
            env=dict(spec.image.config.env),
            rootless=self.detected.rootless,
        )
        return (stack.enter_context(layer),)

    def _user(self, spec: ContainerSpec, root: Path) -> User:
        user = resolve_user(
            spec.user, rootfs.read_file(root, "etc/passwd"), rootfs.read_file(root, "etc/group")
        )
        if self.detected.rootless and (user.uid or user.gid) and not _mapped(user):
            raise InvalidError(
                f"user {spec.user!r} ({user.uid}:{user.gid}) does not exist without root",
                hint="give this account a range in /etc/subuid and /etc/subgid, or run as root",
            )
        return user

    def _facts(
        self, container: str, root: Path, limits: Limits, host: HostRoot | None
    ) -> oci_bundle.Facts:
        return oci_bundle.Facts(
            machine=platform.machine(),
            rootfs=root,
            init=self.detected.init,
            rootless=self.detected.rootless,
            devices_ruled=self.detected.devices_ruled,
            cgroups_path=self.groups.oci_path(container),
            resources=self._resources(limits),
            oom_score_adj=max(0, int(Path("/proc/self/oom_score_adj").read_text())),
            binds=() if host is None else host.binds,
            hidden=(str(self.home.root),),
            filter_program=self._filter_program() if self.detected.runtime == "crun" else "",
            set_groups=self.detected.can_set_groups,
        )

    def _resources(self, limits: Limits) -> dict[str, object] | None:
        if self.groups.mode is not CgroupMode.UNIFIED:
            return None
        return oci_resources(
            limits,
            controllers=self.groups.controllers(),
            devices=self.detected.devices_ruled,
        )

    def _filter_program(self) -> str:
        return self.records.filter_program(_filter_key())


@functools.cache
def _filter_key() -> str:
    return profile_key(platform.machine())


def _mapped(user: User) -> bool:
    return all(
        any(int(start) <= number < int(start) + int(count) for start, _, count in rows)
        for name, number in (("uid_map", user.uid), ("gid_map", user.gid))
        for rows in [
            [line.split() for line in Path(f"/proc/thread-self/{name}").read_text().splitlines()]
        ]
    )
