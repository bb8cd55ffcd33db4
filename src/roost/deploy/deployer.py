"""A deploy from request to finished release.

Order: check the configuration, resolve the image, give the app its private address, write the
release, lease the Machines, roll out, finish the release. Nothing is written before the image is
there. A failure stops a rolling deploy: what is done stays new, the rest stays as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pydantic import ValidationError

from roost import __version__
from roost.control.address_warnings import about_exposure
from roost.control.app_dir import check_app_dir
from roost.control.releases import ReleaseStatus
from roost.control.service import Control
from roost.deploy.came_up import Watch
from roost.deploy.first_address import plan_address
from roost.deploy.leases import Leases, holding
from roost.deploy.machine_checks import MachineChecks, discard_abandoned
from roost.deploy.managed import managed_machines, present
from roost.deploy.order import Order
from roost.deploy.outside import check_outside
from roost.deploy.pin import Pin
from roost.deploy.progress import Progress, ProgressType, Reporter
from roost.deploy.request import DeployRequest
from roost.deploy.rollout_run import RolloutRun
from roost.deploy.side_by_side import first_of, side_by_side
from roost.errors import ConflictError, InvalidError, RoostError
from roost.images.base import HOST_IMAGE
from roost.model.machine_config import MachineConfig
from roost.model.records import Release
from roost.plan.placement import choose_region
from roost.plan.rollout import (
    Group,
    Stage,
    Strategy,
    plan_rollout,
)
from roost.spec import durations, groups, machine_check, rules
from roost.spec.app_config import AppConfig
from roost.spec.app_config import Deploy as DeploySection
from roost.spec.fly_toml import recheck
from roost.spec.machine import ReleaseStamp, to_machine_config

_QUEUE = 1024
"""Events that wait for a slow reader; further ones are dropped, except the last."""


class Deployer:
    """Deploys apps, one deploy of an app at a time. Made once."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._busy: set[int] = set()
        """Numbers of the apps that are being deployed."""

    async def run(
        self, app: str, request: DeployRequest, *, user: str = "admin", number: int | None = None
    ) -> AsyncIterator[Progress]:
        """Deploy, and yield what happens; the last event is `done` or `failed`.

        `number` is that of the app that the caller may deploy: a later one of its name is not.

        Must be read to its end by one task (that task being cancelled interrupts the deploy), so
        the API reads it in a task of the daemon. Errors that a user can act on come as `failed`.
        """
        events: asyncio.Queue[Progress | None] = asyncio.Queue()

        def say(event: Progress) -> None:
            last = event.type in {ProgressType.DONE, ProgressType.FAILED}
            if last or events.qsize() < _QUEUE:
                events.put_nowait(event)

        async def work() -> None:
            try:
                await self.execute(app, request, Reporter(say), user=user, number=number)
            finally:
                events.put_nowait(None)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(work(), name=f"deploy:{app}")
                while (event := await events.get()) is not None:
                    yield event
        except BaseExceptionGroup as errors:
            raise first_of(errors) from None

    async def execute(
        self,
        app: str,
        request: DeployRequest,
        report: Reporter,
        *,
        user: str = "admin",
        number: int | None = None,
    ) -> None:
        """Deploy and report; blocks until it is over. Never raises RoostError: it is reported."""
        try:
            pin = Pin.of(self._control, app, number)
            if pin.app.number in self._busy:
                raise ConflictError(
                    f'app "{app}" is being deployed already', hint="wait until that is done"
                )
            self._busy.add(pin.app.number)
            try:
                await self._deploy(pin, request, report, user)
            finally:
                self._busy.discard(pin.app.number)
        except RoostError as error:
            report.failed(error)

    async def _deploy(self, pin: Pin, request: DeployRequest, report: Reporter, user: str) -> None:
        order = await self._check(pin, request, report, user)
        app = order.app
        pin.check()
        await self._end_abandoned(pin)
        await discard_abandoned(self._control, pin)
        await self._address(order, report)
        pin.check()
        release = await self._control.releases.create(
            app,
            strategy=str(order.strategy),
            image=order.image,
            user=user,
            config=order.config.show(),
            description=request.description,
        )
        report.info(f"release v{release.version} of {app}", version=release.version)
        status: ReleaseStatus = "interrupted"
        try:
            touched = await self._roll_out(order, release, report)
            status = "complete"
        except RoostError:
            status = "failed"
            raise
        finally:
            # Also when cancelled: the record must not say that it runs.
            if pin.holds():
                await self._control.releases.finish(app, release.version, status)
        self._say_done(order, release, touched, report)

    async def _check(self, pin: Pin, request: DeployRequest, report: Reporter, user: str) -> Order:
        control, app = self._control, pin.app.name
        config = request.config.model_copy(update={"app": app})
        if request.env:
            config = config.model_copy(update={"env": {**config.env, **request.env}})
        # Its warnings were shown with their lines by whoever read the file.
        recheck(config)
        image = request.image or (config.build.image if config.build else None)
        _refuse_impossible(config, image)
        assert image is not None
        check_outside(config, control.addresses.list(app))
        app_dir = None
        if image == HOST_IMAGE and request.app_dir:
            app_dir = await asyncio.to_thread(check_app_dir, request.app_dir, control.context.home)
        chosen = choose_region(control.context.host.region, config.primary_region)
        if chosen.warning:
            report.warning(chosen.warning)
        for reference in dict.fromkeys((image, *machine_check.images(config))):
            await self._resolve(reference, report)
        return Order(
            pin=pin,
            request=request,
            config=config,
            section=config.deploy or DeploySection(),
            image=image,
            region=chosen.region,
            app_dir=app_dir,
            user=user,
        )

    async def _resolve(self, image: str, report: Reporter) -> None:
        report.step(f"resolve image {image}")
        resolved = await self._control.context.agent.resolve_image(image, fresh=True)
        if resolved.digest.startswith("sha256:"):
            report.info(
                f"image {resolved.reference} is {resolved.digest}", image=resolved.reference
            )

    async def _end_abandoned(self, pin: Pin) -> None:
        """Releases that a killed daemon left as running (no deploy of this app runs now)."""
        for release in self._control.releases.list(pin.app.name):
            if release.status in {"pending", "running"}:
                pin.check()
                await self._control.releases.finish(pin.app.name, release.version, "interrupted")

    async def _address(self, order: Order, report: Reporter) -> None:
        control, app = self._control, order.app
        plan = plan_address(
            has_services=bool(order.config.services or order.config.http_service),
            has_address=any(not one.type.public for one in control.addresses.list(app)),
            asked=order.request.flycast,
            remembered=control.apps.get(app).wants_flycast,
            no_public_ips=order.request.no_public_ips,
        )
        if plan.allocate:
            order.pin.check()
            address = await control.addresses.allocate(app)
            report.info(f"allocated private address {address.ip}", ip=address.ip)
        if plan.settle:
            order.pin.check()
            await control.apps.want_flycast(app, False)
        if plan.warning:
            report.warning(plan.warning)

    async def _roll_out(self, order: Order, release: Release, report: Reporter) -> list[str]:
        control, app = self._control, order.app
        ttl = max(1, round((order.request.lease_timeout or 0) / durations.SECOND))
        order.pin.check()
        failure: RoostError | None = None
        run: RolloutRun | None = None
        async with holding(control, app, ttl) as leases:
            try:
                run = self._prepare(order, release, report, leases)
                await self._lease_all(app, leases)
                await run.run(self._plan(order))
            except RoostError as error:
                # Raised after the leases are given back, not inside of their task group.
                failure = error
        if failure is not None:
            raise failure
        assert run is not None
        return run.touched

    async def _lease_all(self, app: str, leases: Leases) -> None:
        machines = managed_machines(self._control, app)
        await side_by_side((leases.take(machine.id) for machine in machines), f"lease:{app}")

    def _plan(self, order: Order) -> tuple[Stage, ...]:
        wanted = [
            Group(
                name=name,
                has_services=bool(groups.services(order.config, name)),
                has_mount=groups.mount(order.config, name) is not None,
            )
            for name in groups.names(order.config)
        ]
        machines = managed_machines(self._control, order.app)
        return plan_rollout(wanted, map(present, machines), order.settings)

    def _prepare(
        self, order: Order, release: Release, report: Reporter, leases: Leases
    ) -> RolloutRun:
        stamp = ReleaseStamp(id=release.id, version=release.version, roost_version=__version__)

        def make_config(group: str, existing: MachineConfig | None) -> MachineConfig:
            try:
                return to_machine_config(
                    order.config,
                    group,
                    order.image,
                    release=stamp,
                    existing=existing,
                    app_dir=order.app_dir,
                    region=order.region,
                )
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                raise InvalidError(f"group {group} cannot run: {where}: {first['msg']}") from error

        return RolloutRun(
            control=self._control,
            pin=order.pin,
            region=order.region,
            leases=leases,
            watch=Watch(
                self._control,
                order.app,
                order.wait_timeout,
                order.smoke_window,
                health=order.waits_for_health,
                checks=None if order.request.detach else self._machine_checks(order, report),
            ),
            report=report,
            make_config=make_config,
            patient=order.strategy is not Strategy.IMMEDIATE,
        )

    def _machine_checks(self, order: Order, report: Reporter) -> MachineChecks:
        return MachineChecks(
            control=self._control,
            pin=order.pin,
            config=order.config,
            report=report,
            timeout=order.wait_timeout,
        )

    def _say_done(
        self, order: Order, release: Release, touched: list[str], report: Reporter
    ) -> None:
        found = self._control.addresses.list(order.app)
        addresses = [address.ip for address in found if not address.type.public]
        if sentence := about_exposure(found):
            report.warning(sentence)
        url = f"http://{order.app}.flycast"
        web = order.config.http_service is not None
        where = f": {url}" if web and addresses else ""
        report.done(
            f"{order.app} v{release.version} is deployed{where}",
            version=release.version,
            machines=list(touched),
            addresses=[address.ip for address in found],
            url=url if where else None,
        )


def _refuse_impossible(config: AppConfig, image: str | None) -> None:
    """What fly.toml may say but this deploy cannot do. Raises InvalidError."""
    if image is None:
        raise InvalidError(
            "there is no image to deploy",
            hint='set image in [build], such as "roost/host", or pass --image',
        )
    for finding in rules.host_command(config, image):
        raise InvalidError(finding.message, hint=finding.hint)
    if config.mounts:
        raise InvalidError(
            "volumes are not there yet, so an app with [[mounts]] cannot be deployed",
            hint="remove [[mounts]]",
        )
    local = next((file for file in config.files if file.local_path), None)
    if local is not None:
        raise InvalidError(
            f"the content of {local.local_path!r} for {local.guest_path} was not sent along",
            hint="send raw_value: `roost deploy` reads local files itself",
        )
