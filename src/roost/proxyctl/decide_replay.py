"""Whether the proxy lets an app send a request on to another one with `fly-replay`, in words.

Works on the entities that `view` puts on the wire; the proxy's own code is
crates/proxy/src/replay/way.rs, and tests let both answer.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from roost.proxyctl.decide import Caller, Stage, Step, guard_of, serving_of
from roost.proxyctl.view import Entity


def decide_replay(source: Entity, target: Entity, machines: Iterable[Entity], port: int) -> Step:
    """Whether a request to `source` on an external port may be replayed to `target`; both are `app`
    entities, `machines` the target's. Port 0: on any port with the `http` handler.
    """
    if source["id"] == target["id"]:
        return _step(True, "an app may always replay to its own Machines")
    allowed, why = _settings(source, target)
    if not allowed:
        return _step(False, why)
    known = list(machines)
    found = [_on_port(source, target, known, one) for one in ([port] if port else _http(known))]
    if not found:
        return _step(
            False, f"no Machine of the app {target['id']} has a port with the http handler"
        )
    refused = next((step for step in found if not step.passes), None)
    passes = any(step.passes for step in found)
    return _step(True, why) if passes or refused is None else refused


def _settings(source: Entity, target: Entity) -> tuple[bool, str]:
    theirs, ours = source["org"], target["org"]
    if theirs != ours:
        if theirs in target.get("replay_sources", ()):
            return True, f"organization {ours} lists {theirs} among its replay sources"
        hint = f"roost orgs replay-sources add {theirs} --org {ours}"
        return False, f"organization {ours} takes no replays from {theirs} ({hint})"
    if source["network"] == target["network"]:
        return True, "both apps are on one network"
    if target.get("cross_network_replays"):
        return True, f"organization {ours} lets replays cross its networks"
    hint = f"roost orgs cross-network-replays enable --org {ours}"
    return False, f"organization {ours} lets no replay cross its networks ({hint})"


def _on_port(source: Entity, target: Entity, machines: list[Entity], port: int) -> Step:
    serving = list(serving_of(machines, port, "tcp"))
    if not serving:
        return _step(False, f"no Machine of the app {target['id']} has a service on port {port}")
    caller = Caller(network="", network_name="", app=source["id"], org=source["org"])
    guard = guard_of(caller, port, serving, target["org"])
    if not guard.passes:
        return _step(False, guard.why)
    if not any("http" in one.get("handlers", ()) for _, _, one in serving):
        return _step(False, f"port {port} of the app {target['id']} has no http handler")
    return _step(True, guard.why)


def _http(machines: list[Entity]) -> list[int]:
    """The first of each range of ports with the handler."""
    ports = (port for m in machines for service in m["services"] for port in service["ports"])
    return sorted({port["port"] for port in ports if "http" in port.get("handlers", ())})


def _step(passes: bool, why: str) -> Step:
    return Step(stage=Stage.REPLAY, passes=passes, why=why)
