"""Waiting until a Machine is in a state, in slices that one request may last."""

from __future__ import annotations

import time
from collections.abc import Iterable

from roost.cli.client import Api, ApiError, Query, app_path
from roost.cli.views import MachineView, machine
from roost.errors import DeadlineError

SLICE = 60
"""Seconds; the longest wait of one request."""

AT_REST = ("started", "stopped", "suspended", "failed", "destroyed")


def wait_until(
    api: Api, app: str, machine_id: str, states: Iterable[str], *, timeout: float
) -> MachineView:
    """Block until the Machine is in one of the states (or `settled`), at most `timeout` seconds.

    Returns the Machine as it is then. Raises DeadlineError, NotFoundError, ApiError.
    """
    wanted = list(states)
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        query: Query = {"state": wanted, "timeout": max(1, min(SLICE, round(left)))}
        try:
            api.get(app_path(app, "machines", machine_id, "wait"), query)
            return machine(api.machine(app, machine_id))
        except ApiError as error:
            if error.http_status != 408:
                raise
            if time.monotonic() >= deadline:
                state = machine(api.machine(app, machine_id)).state
                raise DeadlineError(
                    f"machine {machine_id} is {state}, not {' or '.join(wanted)}, after "
                    f"{timeout:g} s",
                    hint=f"see: roost logs -a {app}",
                ) from error
