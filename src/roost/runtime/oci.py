"""The `oci` runtime driver: crun or runc under conmon (counterpart: `fake`).

Life of a container, and what each step leaves on the host:

    create  writable layer → overlay → bundle → conmon + `crun create` → unmount → limits → `main`
    start   `crun start`: the exec fifo is gone from then on
    freeze  cgroup.freeze (no cgroups: SIGSTOP); thaw is the reverse
    end     conmon writes the exit file and ends
    delete  kill → conmon ends → cgroup, runtime state, bundle, exit file, writable layer removed

Nothing about a container is kept only in memory: `records` says which file tells what, so a
later process adopts all. Calls for one container must not overlap; for several they may.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from roost.errors import (
    InvalidError,
    NotFoundError,
    PreconditionError,
    RoostError,
    UnavailableError,
)
from roost.home import Home
from roost.runtime import bundle as oci_bundle
from roost.runtime import conmon as oci_conmon
from roost.runtime import exec as oci_exec
from roost.runtime import hierarchy, processes, reclaim, rootfs, spawn
from roost.runtime.base import (
    ContainerSpec,
    ContainerState,
    ExecResult,
    ExecSession,
    Exit,
    Memory,
    Observed,
    Process,
)
from roost.runtime.detect import Detected, detect, is_rootless
from roost.runtime.exits import ExitWatch, exit_of
from roost.runtime.groups import Groups
from roost.runtime.hierarchy import CgroupMode
from roost.runtime.host_view import HostView
from roost.runtime.limits import Limits
from roost.runtime.moves import Moves
from roost.runtime.preparing import Preparing
from roost.runtime.records import Main, Record, Records
from roost.runtime.trust import TrustLayers

T = TypeVar("T")

_FREEZE_SECONDS = 5.0
_END_SECONDS = 10.0
_START_SECONDS = 10.0
_WORKERS = 8


class OciRuntime:
    """Containers of one ROOST_HOME. `setup()` first; `close()` frees descriptors and threads.

    `prefer` is the OCI runtime to use if it can work; `host_paths` are folders of the host that
    roost/host shows besides its own list, read-only, at their own paths.
    """

    def __init__(
        self, home: Home, *, prefer: str = "crun", host_paths: tuple[Path, ...] = ()
    ) -> None:
        self._home = home
        self._prefer = prefer
        self._records = Records(home.containers)
        self._scratch = home.root / "writable"
        self._host_view = HostView(home.images / "host", extra=host_paths)
        self._trust = TrustLayers(home.root / "trust", self._trust_used)
        self._watch = ExitWatch(self._conmon_ended)
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="roost-runtime")
        self._busy: set[str] = set()
        self._detected: Detected | None = None
        self._groups = Groups(hierarchy.Hierarchy(mode=CgroupMode.NONE), home.root)
        self._moves = Moves(None)

    # --- the host

    async def setup(self) -> None:
        """See base.Runtime. Adopts what an earlier process left. Blocks for some milliseconds."""
        await self._in_thread(self._setup)
        for name in self._records.names():
            main = self._records.main(name)
            if main is not None and self._records.exit(name) is None:
                self._watch.watch(name, main)

    def _setup(self) -> None:
        self._cover()
        detected = detect(prefer=self._prefer, covered=not hierarchy.needs_cover())
        for finding in detected.findings:
            if finding.fatal:
                raise UnavailableError(finding.what, hint=finding.fix)
        self._records.setup()
        self._scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = hierarchy.find(rootless=detected.rootless)
        self._groups = Groups(found, self._home.root)
        self._groups.setup()
        self._moves = Moves(hierarchy.own_group(found))
        self._detected = detected
        self._drop_leftovers()

    def _cover(self) -> None:
        """Make /sys/fs/cgroup v2 here; without root a refusal only means runc instead of crun."""
        if not hierarchy.needs_cover():
            return
        if not hierarchy.in_private_namespace():
            raise UnavailableError(
                "this host has hybrid cgroups, and this process no mount namespace of its own",
                hint="start Roost with `roost up`",
            )
        rootless = is_rootless()
        try:
            hierarchy.cover(self._home.run / "cgroup1", rootless=rootless)
        except OSError as error:
            if not rootless:
                raise UnavailableError(
                    f"cgroup v2 cannot be mounted: {error.strerror}",
                    hint="the kernel needs cgroup v2 (CONFIG_CGROUPS)",
                ) from error

    def _drop_leftovers(self) -> None:
        """Writable layers without a container, and copies of /etc that nobody uses."""
        known = set(self._records.names())
        for entry in self._scratch.iterdir():
            if entry.name not in known:
                rootfs.clear(entry)
        records = [self._records.record(name) for name in known]
        self._host_view.prune(frozenset(Path(r.host_layer) for r in records if r and r.host_layer))

        self._trust.prune()

    def _trust_used(self) -> frozenset[Path]:
        records = [self._records.record(name) for name in self._records.names()]
        return frozenset(Path(r.trust_layer) for r in records if r and r.trust_layer)

    async def teardown(self) -> None:
        """See base.Runtime. Goes on after a failure; raises an ExceptionGroup at the end."""
        failures: list[Exception] = []
        for observed in await self.observe():
            try:
                await self.delete(observed.id)
            except (RoostError, OSError) as error:
                failures.append(error)
        await self._in_thread(self._groups.teardown)
        await self._in_thread(lambda: hierarchy.uncover(self._home.run / "cgroup1"))
        if failures:
            raise ExceptionGroup("some containers could not be removed", failures)

    def close(self) -> None:
        """Stop watching and end the threads; containers run on."""
        self._watch.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def detected(self) -> Detected:
        """What setup() found. Raises UnavailableError before."""
        if self._detected is None:
            raise UnavailableError("the container runtime is not set up yet")
        return self._detected

    @property
    def _preparing(self) -> Preparing:
        return Preparing(
            home=self._home,
            scratch=self._scratch,
            records=self._records,
            host_view=self._host_view,
            trust=self._trust,
            groups=self._groups,
            detected=self.detected,
        )

    # --- create and start

    async def create(self, spec: ContainerSpec) -> None:
        """See base.Runtime. A created, ended or broken container of this id is made anew."""
        state = (await self._in_thread(lambda: self._look(spec.id))).state
        if state in (ContainerState.RUNNING, ContainerState.FROZEN):
            raise PreconditionError(f"container {spec.id} is {state}", hint="stop it first")
        await self.delete(spec.id)
        self._busy.add(spec.id)
        try:
            with self._moves.expected():
                main = await self._create(spec)
        except BaseException:
            await self.delete(spec.id)
            raise
        finally:
            self._busy.discard(spec.id)
        self._watch.watch(spec.id, main)

    async def _create(self, spec: ContainerSpec) -> Main:
        conmon = self._conmon(self.detected.runtime)
        limits = Limits(cpus=spec.cpus, memory=spec.memory, pids=spec.pids)
        with contextlib.ExitStack() as stack:
            await self._in_thread(lambda: self._preparing.prepare(spec, limits, stack))
            try:
                pid = await oci_conmon.create(conmon, spec.id, log_file=spec.log_file, tty=spec.tty)
            finally:
                await self._in_thread(stack.close)

        def finish() -> Main:
            self._groups.place(spec.id, pid, limits)
            self._preparing.keep_filter(spec.id)
            return self._records.complete(spec.id, pid)

        return await self._in_thread(finish)

    def _conmon(self, runtime: str) -> oci_conmon.Conmon:
        program = self.detected.runtimes.get(runtime)
        if program is None or self.detected.conmon is None:
            raise UnavailableError(
                f"{runtime or 'an OCI runtime'} is no longer installed",
                hint=f"install the package {runtime or 'crun'}",
            )
        return oci_conmon.Conmon(
            program=self.detected.conmon,
            runtime=runtime,
            runtime_program=program,
            runtime_arguments=oci_conmon.runtime_arguments(
                runtime, self._records, cgroups=self._groups.mode is not CgroupMode.NONE
            ),
            records=self._records,
        )

    async def start(self, container: str) -> int:
        """See base.Runtime. Of one that runs already: its pid."""
        record, main = self._record(container), self._main(container)
        if self._records.waiting(container, record.runtime):
            conmon = self._conmon(record.runtime)
            done = await spawn.run(
                [str(conmon.runtime_program), *conmon.runtime_arguments, "start", container],
                timeout=_START_SECONDS,
            )
            if done.code != 0:
                raise oci_conmon.failure(record.runtime, done.stderr.decode(errors="replace"))
        elif not main.alive:
            raise PreconditionError(f"container {container} has ended", hint="create it again")
        return main.pid

    # --- while it runs

    async def signal(self, container: str, signo: int) -> None:
        """See base.Runtime."""
        if signo == 0 or signo not in signal.valid_signals():
            raise InvalidError(f"signal {signo} does not exist")
        main = self._main(container)
        try:
            pidfd = os.pidfd_open(main.pid)
        except ProcessLookupError:
            raise NotFoundError(f"container {container} has ended") from None
        try:
            if not main.alive:
                raise NotFoundError(f"container {container} has ended")
            signal.pidfd_send_signal(pidfd, signo)
        except ProcessLookupError:
            raise NotFoundError(f"container {container} has ended") from None
        finally:
            os.close(pidfd)

    async def kill(self, container: str) -> None:
        """See base.Runtime. Of one that is gone: nothing."""
        self._kill(container)

    def _kill(self, container: str) -> None:
        self._groups.kill(container)
        main = self._records.main(container)
        pids = [main.pid] if main and main.alive else []
        # The end of a pid namespace's first process ends all the others.
        for pid in pids or self._records.half_made(container):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def freeze(self, container: str) -> None:
        """See base.Runtime. Already frozen: nothing."""
        await self._require(container, ContainerState.RUNNING, ContainerState.FROZEN)
        await self._in_thread(lambda: self._freeze(container))

    def _freeze(self, container: str) -> None:
        if self._groups.mode is CgroupMode.NONE:
            processes.stop_all(self._main(container).pid)
            self._records.mark_frozen(container, frozen=True)
        elif not self._groups.freeze(container, _FREEZE_SECONDS):
            self._groups.thaw(container)
            raise UnavailableError(
                f"container {container} could not be frozen within {_FREEZE_SECONDS:g} s",
                hint="a process of it hangs in the kernel",
            )

    async def thaw(self, container: str) -> None:
        """See base.Runtime. Not frozen: nothing. Does not leave the event loop."""
        self._main(container)
        if self._groups.mode is CgroupMode.NONE:
            self._records.mark_frozen(container, frozen=False)
            processes.continue_all(self._pids(container))
        else:
            self._groups.thaw(container)

    async def reclaim(self, container: str) -> int:
        """See base.Runtime. Blocks a worker thread for as long as the kernel writes."""
        if reclaim.swap_total() == 0:
            return 0
        return await self._in_thread(lambda: self._reclaim(container))

    def _reclaim(self, container: str) -> int:
        before = self._memory(container).resident
        if not self._groups.reclaim(container, before):
            reclaim.page_out(self._pids(container))
        return max(0, before - self._memory(container).resident)

    async def processes(self, container: str) -> list[Process]:
        """See base.Runtime. Process ids are those inside."""
        self._main(container)
        return await self._in_thread(lambda: processes.describe(self._pids(container)))

    async def memory(self, container: str) -> Memory:
        """See base.Runtime."""
        self._main(container)
        return await self._in_thread(lambda: self._memory(container))

    def _memory(self, container: str) -> Memory:
        counted = self._groups.memory(container)
        resident, swapped = counted or reclaim.footprint(self._pids(container))
        return Memory(resident=resident, swapped=swapped)

    def _pids(self, container: str) -> list[int]:
        if self._groups.mode is not CgroupMode.NONE:
            return self._groups.pids(container)
        main = self._records.main(container)
        return processes.same_namespace(main.pid) if main and main.alive else []

    # --- commands inside

    async def exec(
        self,
        container: str,
        args: tuple[str, ...],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout: float,
    ) -> ExecResult:
        """See base.Runtime."""
        inside = await self._inside(container, args)
        return await oci_exec.run(inside, args, env=env or {}, stdin=stdin, timeout=timeout)

    async def session(
        self,
        container: str,
        args: tuple[str, ...],
        *,
        tty: bool,
        env: Mapping[str, str] | None = None,
    ) -> ExecSession:
        """See base.Runtime."""
        inside = await self._inside(container, args)
        return await oci_exec.open_session(inside, args, tty=tty, env=env or {})

    async def _inside(self, container: str, args: tuple[str, ...]) -> oci_exec.Inside:
        await self._require(container, ContainerState.RUNNING)
        record, main = self._record(container), self._main(container)
        known = dict(line.split("=", 1) for line in record.process["env"])
        rootfs.check_command(
            {"/": Path(f"/proc/{main.pid}/root")},
            args[0] if args else "",
            known.get("PATH", oci_bundle.DEFAULT_PATH),
            record.process["cwd"],
        )
        conmon = self._conmon(record.runtime)
        return oci_exec.Inside(
            runtime=conmon.runtime_program,
            arguments=conmon.runtime_arguments,
            container=container,
            bundle=self._records.bundle(container),
            sockets=self._records.sockets,
            process=record.process,
            join=self._groups.joinable(container),
        )

    # --- what is there

    async def observe(self) -> list[Observed]:
        """See base.Runtime. Those being created by this process are left out."""
        return await self._in_thread(self._observe)

    def _observe(self) -> list[Observed]:
        names = {*self._records.names(), *self._groups.names()}
        return [self._look(name) for name in sorted(names - self._busy)]

    def _look(self, container: str) -> Observed:
        record, main = self._records.record(container), self._records.main(container)
        if record is None or main is None:
            return Observed(id=container, state=ContainerState.BROKEN)
        ended = self._exit(container)
        state = ContainerState.EXITED if ended else self._living(container, record, main)
        pid = main.pid if ended is None and main.alive else 0
        return Observed(id=container, state=state, pid=pid, exit=ended, labels=record.labels)

    def _living(self, container: str, record: Record, main: Main) -> ContainerState:
        if not main.conmon_alive:
            # It may have written the exit file since we looked.
            return ContainerState.EXITED if self._exit(container) else ContainerState.BROKEN
        if self._records.waiting(container, record.runtime):
            return ContainerState.CREATED
        frozen = self._groups.frozen(container) or self._records.marked_frozen(container)
        return ContainerState.FROZEN if frozen else ContainerState.RUNNING

    def _exit(self, container: str) -> Exit | None:
        ended = self._records.exit(container)
        if ended is None:
            return None
        oom_killed = self._groups.oom_killed(container)
        return exit_of(container, ended[0], ended[1], oom_killed=oom_killed)

    def _conmon_ended(self, container: str) -> Exit:
        if (ended := self._exit(container)) is None:
            self._kill(container)
            code = 128 + signal.SIGKILL
            # A full disk must not hide the end from who waits for it.
            with contextlib.suppress(OSError):
                self._records.write_exit(container, code)
            now_ms = time.time_ns() // 1_000_000
            ended = self._exit(container) or exit_of(container, code, now_ms, oom_killed=False)
        return ended

    def exits(self) -> AsyncIterator[Exit]:
        """See base.Runtime."""
        return self._watch.events()

    async def delete(self, container: str) -> None:
        """See base.Runtime. Takes as long as its processes need to end: milliseconds."""
        self._records.bundle(container)
        self._watch.forget(container)
        self._kill(container)
        main = self._records.main(container)
        if main is not None:
            await _ended(main)
        await self._in_thread(lambda: self._remove(container))

    def _remove(self, container: str) -> None:
        self._groups.remove(container)
        rootfs.clear(self._scratch / container)
        self._records.remove(container)

    # --- small things

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _require(self, container: str, *states: ContainerState) -> None:
        record, main = self._record(container), self._main(container)
        state = ContainerState.EXITED
        if self._records.exit(container) is None and main.alive:
            state = self._living(container, record, main)
        if state not in states:
            raise PreconditionError(
                f"container {container} is {state}, not {' or '.join(states)}",
                hint="start it first" if state is not ContainerState.FROZEN else "wake it first",
            )

    def _record(self, container: str) -> Record:
        if (record := self._records.record(container)) is None:
            raise NotFoundError(f"container {container} does not exist")
        return record

    def _main(self, container: str) -> Main:
        if (main := self._records.main(container)) is None:
            raise NotFoundError(f"container {container} does not exist")
        return main


async def _ended(main: Main) -> None:
    """Wait until conmon has seen its container's end; one that hangs is killed."""
    try:
        pidfd = os.pidfd_open(main.conmon)
    except OSError:
        return
    try:
        if main.conmon_alive:
            async with asyncio.timeout(_END_SECONDS):
                await spawn.readable(pidfd)
    except TimeoutError:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)
