"""`scale count`: more or fewer Machines of a process group, made like those that are there."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from roost import __version__
from roost.control.machine_requests import CreateMachine
from roost.control.service import Control
from roost.deploy.managed import group_of, managed_machines, present
from roost.deploy.pin import Pin
from roost.deploy.side_by_side import side_by_side
from roost.errors import ForbiddenError, InvalidError, NotFoundError, PreconditionError
from roost.images.base import HOST_IMAGE
from roost.images.reference import is_file
from roost.model.machine_config import MachineConfig
from roost.model.records import Machine, Release
from roost.plan.scaling import Change, plan_scale
from roost.spec import groups
from roost.spec.app_config import AppConfig
from roost.spec.machine import ReleaseStamp, to_machine_config

AT_ONCE = 8


class Scaler:
    """Changes how many Machines groups have. Holds nothing between calls."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def count(
        self,
        app: str,
        counts: Mapping[str, str | int],
        *,
        number: int | None = None,
        may_show: bool = True,
    ) -> list[str]:
        """Give each group the number of Machines asked for (3, "3", "+1", "-1").

        `number` is that of the app that the caller may scale: a later one of its name is not.
        Without `may_show` no folder or image file of the host is shown anew that only Machines
        which are gone had.

        Returns a sentence for each Machine made or destroyed; new ones are started and not waited
        for. Everything is checked first. Raises NotFoundError (app, group), InvalidError (number),
        PreconditionError (never deployed), ConflictError (Machine leased, as by a deploy),
        ForbiddenError (`may_show`).
        """
        pin = Pin.of(self._control, app, number)
        machines = managed_machines(self._control, app)
        release = self._latest(app)
        if release is None and not machines:
            raise PreconditionError(f'app "{app}" was never deployed', hint="deploy it first")
        config = _config(release)
        changes = [
            self._plan(app, group, asked, machines, config) for group, asked in counts.items()
        ]
        models = {
            change.group: self._model(app, change.group, machines, release, config)
            for change in changes
            if change.create
        }
        if not may_show:
            _refuse_shown_anew(models, machines)
        said: list[str] = []
        for change in changes:
            jobs = [self._create(pin, change.group, models, said) for _ in range(change.create)]
            jobs += [self._destroy(pin, change.group, one, said) for one in change.destroy]
            for start in range(0, len(jobs), AT_ONCE):
                await side_by_side(jobs[start : start + AT_ONCE], f"scale:{app}")
        return said

    def _plan(
        self,
        app: str,
        group: str,
        asked: str | int,
        machines: list[Machine],
        config: AppConfig | None,
    ) -> Change:
        known = {group_of(machine) for machine in machines}
        known |= set(groups.names(config)) if config is not None else set()
        if group not in known:
            raise NotFoundError(
                f'app "{app}" has no process group {group!r}',
                hint=f"groups: {', '.join(sorted(known))}",
            )
        return plan_scale(group, asked, [present(m) for m in machines if group_of(m) == group])

    def _latest(self, app: str) -> Release | None:
        found = self._control.releases.list(app)
        return next((release for release in found if release.status == "complete"), None)

    def _model(
        self,
        app: str,
        group: str,
        machines: list[Machine],
        release: Release | None,
        config: AppConfig | None,
    ) -> MachineConfig:
        """The configuration of a new Machine: that of the newest of its group, also of one that
        is gone, else what the last release says.
        """
        every = [*machines, *self._control.machines.list(app, include_deleted=True)]
        alike = [machine for machine in every if group_of(machine) == group]
        living = [machine for machine in alike if machine in machines]
        if alike:
            newest = max(living or alike, key=lambda machine: machine.updated_at)
            fields = {k: v for k, v in newest.config.to_api().items() if k != "standbys"}
            return MachineConfig.model_validate(fields)
        if release is None or config is None or release.image == HOST_IMAGE:
            raise PreconditionError(
                f"there is no Machine of group {group!r} to copy", hint="deploy the app again"
            )
        stamp = ReleaseStamp(id=release.id, version=release.version, roost_version=__version__)
        try:
            return to_machine_config(
                config,
                group,
                release.image,
                release=stamp,
                region=self._control.context.host.region,
            )
        except ValidationError as error:
            raise InvalidError(
                f"release v{release.version} cannot run here", hint="deploy the app again"
            ) from error

    async def _create(
        self, pin: Pin, group: str, models: Mapping[str, MachineConfig], said: list[str]
    ) -> None:
        pin.check()
        request = CreateMachine(config=models[group])
        machine = await self._control.machines.create(pin.app.name, request)
        said.append(f"created machine {machine.id} of group {group} in {machine.region}")

    async def _destroy(self, pin: Pin, group: str, machine_id: str, said: list[str]) -> None:
        pin.check()
        await self._control.machines.destroy(pin.app.name, machine_id, force=True)
        said.append(f"destroyed machine {machine_id} of group {group}")


def _refuse_shown_anew(models: Mapping[str, MachineConfig], living: list[Machine]) -> None:
    """Raises ForbiddenError for a model with what only Machines that are gone had of the host."""
    configs = [machine.config for machine in living]
    shown = {config.app_dir for config in configs} | {config.image for config in configs}
    for group, model in models.items():
        image = model.image if is_file(model.image) else None
        if {model.app_dir, image} - {None} - shown:
            raise ForbiddenError(
                f"Machines of group {group!r} would be shown files of this host that no Machine "
                "of the app is shown now",
                hint="deploy on the host itself, or let an operator scale it",
            )


def _config(release: Release | None) -> AppConfig | None:
    if release is None:
        return None
    try:
        return AppConfig.model_validate(release.config)
    except ValidationError:
        return None
