"""Machines over HTTP: shapes, verbs, waits, leases, and what happens inside."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from roost.plan.wake_budget import Counts
from roost.runtime.base import ExecResult
from tests.support.api_bench import ApiBench, with_api

MACHINES = "/v1/apps/web/machines"


def test_checks_are_always_there(tmp_path: Path) -> None:
    """Each configured check has a result: critical since the Machine's last update before a run,
    then what was told.
    """

    async def body(api: ApiBench) -> None:
        checks = {"up": {"type": "tcp", "port": 9}}
        service = {"internal_port": 80, "checks": [{"type": "http"}, {"type": "tcp", "port": 81}]}
        machine = await api.machine(services=[service], checks=checks)
        names = ["servicecheck-00-http-80", "servicecheck-01-tcp-81", "up"]
        assert machine["checks"] == [
            {
                "name": name,
                "status": "critical",
                "output": "",
                "updated_at": machine["updated_at"],
            }
            for name in names
        ]
        api.bench.host.tell(api.bench.control.machines.get("web", machine["id"]), "passing")
        (listed,) = await api.ok("GET", MACHINES)
        assert [check["name"] for check in listed["checks"]] == names
        assert {check["status"] for check in listed["checks"]} == {"passing"}
        assert listed["checks"][0]["updated_at"] == "2025-11-26T09:40:00.000Z"
        assert listed["checks"][0]["output"] == "said so"

    with_api(tmp_path, body)


def test_metrics_of_checks(tmp_path: Path) -> None:
    """A gauge for each check of a running Machine, and how many there are of each status."""

    async def body(api: ApiBench) -> None:
        machine = await api.machine(checks={"up": {"type": "tcp", "port": 9}})
        gauge = f'roost_health_check_passing{{app="web",check="up",machine="{machine["id"]}"}}'
        text = (await api.call("GET", "/v1/metrics")).text
        assert f"{gauge} 0.0\n" in text
        assert 'roost_health_checks{status="critical"} 1.0\n' in text
        api.bench.host.tell(api.bench.control.machines.get("web", machine["id"]), "passing")
        text = (await api.call("GET", "/v1/metrics")).text
        assert f"{gauge} 1.0\n" in text
        assert 'roost_health_checks{status="critical"} 0.0\n' in text

    with_api(tmp_path, body)


def test_metrics_of_wakes(tmp_path: Path) -> None:
    """Who waits and starts now, and what became of all wakes."""

    async def body(api: ApiBench) -> None:
        api.bench.host.wakes = Counts(
            waiting=3, starting=2, straight=10, queued=4, refused=5, left=6
        )
        text = (await api.call("GET", "/v1/metrics")).text
        for line in (
            "roost_wakes_waiting 3.0",
            "roost_wakes_starting 2.0",
            'roost_wakes_decided_total{how="at_once"} 10.0',
            'roost_wakes_decided_total{how="queued"} 4.0',
            'roost_wakes_decided_total{how="refused"} 5.0',
            'roost_wakes_decided_total{how="left"} 6.0',
        ):
            assert f"{line}\n" in text

    with_api(tmp_path, body)


def test_the_shape_of_a_machine(tmp_path: Path) -> None:
    """All that Fly's client reads is there, and the configuration comes back as sent."""

    async def body(api: ApiBench) -> None:
        machine = await api.machine(
            metadata={"fly_platform_version": "v2"},
            services=[
                {
                    "protocol": "tcp",
                    "internal_port": 80,
                    "autostop": True,
                    "ports": [{"port": 80, "handlers": ["http"]}],
                    "force_instance_key": None,
                    "x_future": {"a": 1},
                }
            ],
        )
        assert machine["state"] == "started"
        assert machine["host_status"] == "ok"
        assert machine["private_ip"] == "fdaa:0:1:0:2:0:1:2"
        assert machine["checks"] == []
        assert machine["created_at"] == "2023-11-14T22:13:20.000Z"
        assert machine["version"] == machine["instance_id"]
        assert machine["cordoned"] is False
        assert "nonce" not in machine
        assert machine["image_ref"] == {
            "registry": "docker.io",
            "repository": "library/nginx",
            "tag": "latest",
            "digest": "sha256:" + "0" * 64,
            "labels": {},
        }
        config = machine["config"]
        assert config["guest"] == {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
        assert config["metadata"] == {"fly_platform_version": "v2"}
        assert config["services"][0]["autostop"] is True
        assert config["services"][0]["x_future"] == {"a": 1}
        assert [(e["type"], e["status"]) for e in machine["events"]] == [
            ("start", "started"),
            ("launch", "created"),
        ]

    with_api(tmp_path, body)


def test_create_replies_before_it_runs(tmp_path: Path) -> None:
    """The reply says starting, and names, regions and skips are honoured."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", "/v1/apps", {"name": "web"})
        asked = {"name": "db", "region": "local", "config": {"image": "redis"}}
        made = await api.ok("POST", MACHINES, asked)
        assert (made["state"], made["name"]) == ("starting", "db")
        resting = {"skip_launch": True, "skip_secrets": False, "config": {"image": "redis"}}
        made = await api.ok("POST", MACHINES, resting)
        assert made["state"] == "created"
        got = await api.ok("GET", f"{MACHINES}/{made['id']}")
        assert got["state"] == "stopped"

    with_api(tmp_path, body)


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({}, 400, "config"),
        ({"config": {}}, 400, "config.image is missing"),
        ({"config": {"image": "x", "guest": {"cpus": "many"}}}, 400, "config.guest.cpus: "),
        ({"config": {"image": "x", "services": [{"autostop": "maybe"}]}}, 400, "autostop"),
        ({"config": {"image": "x"}, "region": "ams"}, 400, "region 'ams'"),
        ({"config": {"image": "missing"}}, 404, "missing"),
    ],
)
def test_refused_creates(tmp_path: Path, asked: dict[str, object], status: int, words: str) -> None:
    """One sentence that names the field."""

    async def body(api: ApiBench) -> None:
        api.bench.host.images = frozenset({"x"})
        await api.ok("POST", "/v1/apps", {"name": "web"})
        problem = await api.refused(status, "POST", MACHINES, asked)
        assert words in problem["error"]
        assert await api.ok("GET", MACHINES) == []
        await api.refused(404, "POST", "/v1/apps/none/machines", {"config": {"image": "x"}})

    with_api(tmp_path, body)


def test_list_filters(tmp_path: Path) -> None:
    """A bare array; metadata.KEY=VALUE, region, include_deleted."""

    async def body(api: ApiBench) -> None:
        one = await api.machine(metadata={"fly_process_group": "app"})
        two = await api.machine()
        assert {m["id"] for m in await api.ok("GET", MACHINES)} == {one["id"], two["id"]}
        params = {"metadata.fly_process_group": "app"}
        assert [m["id"] for m in await api.ok("GET", MACHINES, params=params)] == [one["id"]]
        assert await api.ok("GET", MACHINES, params={"region": "ams"}) == []
        await api.ok("DELETE", f"{MACHINES}/{one['id']}", params={"force": "true"})
        assert [m["id"] for m in await api.ok("GET", MACHINES)] == [two["id"]]
        found = await api.ok("GET", MACHINES, params={"include_deleted": "true"})
        assert len(found) == 2
        await api.refused(404, "GET", "/v1/apps/none/machines")

    with_api(tmp_path, body)


def test_update(tmp_path: Path) -> None:
    """The reply says replacing and has a new version; a stale version is refused."""

    async def body(api: ApiBench) -> None:
        machine = await api.machine()
        path = f"{MACHINES}/{machine['id']}"
        asked = {"config": {"image": "redis"}, "current_version": machine["instance_id"]}
        updated = await api.ok("POST", path, asked)
        assert updated["state"] == "replacing"
        assert updated["instance_id"] != machine["instance_id"]
        assert (await api.ok("GET", path))["state"] == "started"
        await api.refused(409, "POST", path, asked)
        await api.refused(400, "POST", path, {"config": {"image": "redis"}, "name": "other"})
        await api.refused(404, "POST", f"{MACHINES}/nothing", {"config": {"image": "redis"}})

    with_api(tmp_path, body)


def test_stop_start_suspend_restart(tmp_path: Path) -> None:
    """Each verb with and without a body; states that do not allow it are 412."""

    async def body(api: ApiBench) -> None:
        machine = await api.machine()
        path = f"{MACHINES}/{machine['id']}"

        async def state() -> str:
            return str((await api.ok("GET", path))["state"])

        stop = {"id": machine["id"], "signal": "SIGTERM", "timeout": "0s"}
        assert await api.ok("POST", f"{path}/stop", stop) == {"ok": True}
        assert await state() == "stopped"
        await api.refused(412, "POST", f"{path}/suspend")
        await api.refused(412, "POST", f"{path}/restart")
        started = await api.ok("POST", f"{path}/start")
        assert started == {"previous_state": "stopped", "migrated": False, "new_host": ""}
        assert await api.ok("POST", f"{path}/suspend") == {"ok": True}
        assert await state() == "suspended"
        assert await api.ok("POST", f"{path}/stop") == {"ok": True}
        await api.ok("POST", f"{path}/start")
        params = {"force_stop": "false", "timeout": "10s", "signal": "SIGTERM"}
        assert await api.ok("POST", f"{path}/restart", params=params) == {"ok": True}
        assert await state() == "started"
        await api.refused(400, "POST", f"{path}/stop", {"timeout": "soon"})
        await api.refused(400, "POST", f"{path}/stop", {"timeout": "301s"})
        await api.refused(400, "POST", f"{path}/restart", params={"signal": "SIGFOO"})

    with_api(tmp_path, body)


def test_a_stop_timeout_of_zero_means_the_configured_one(tmp_path: Path) -> None:
    """Fly's client sends 0s always; it must not kill at once."""

    async def body(api: ApiBench) -> None:
        machine = await api.machine()
        api.bench.host.paused = True
        await api.ok("POST", f"{MACHINES}/{machine['id']}/stop", {"timeout": "0s"})
        record = api.bench.control.machines.get("web", machine["id"])
        assert record.stop_timeout_ms is None

    with_api(tmp_path, body)


@pytest.mark.parametrize("verb", ["start", "stop", "suspend", "restart", "cordon", "uncordon"])
def test_verbs_of_unknown_machines(tmp_path: Path, verb: str) -> None:
    """404 with the words that clients look for."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", "/v1/apps", {"name": "web"})
        problem = await api.refused(404, "POST", f"{MACHINES}/none/{verb}")
        assert "machine not found" in problem["error"]

    with_api(tmp_path, body)


def test_delete(tmp_path: Path) -> None:
    """A running Machine needs force or kill; afterwards it stays readable."""

    async def body(api: ApiBench) -> None:
        for params in ({"force": "true"}, {"kill": "true"}):
            machine = await api.machine()
            path = f"{MACHINES}/{machine['id']}"
            await api.refused(412, "DELETE", path)
            assert await api.ok("DELETE", path, params=params) == {"ok": True}
            assert (await api.ok("GET", path))["state"] == "destroyed"
        await api.refused(404, "DELETE", f"{MACHINES}/none")

    with_api(tmp_path, body)


def test_cordon_and_metadata(tmp_path: Path) -> None:
    """Both change the record without a new version."""

    async def body(api: ApiBench) -> None:
        machine = await api.machine(metadata={"a": "1"})
        path = f"{MACHINES}/{machine['id']}"
        await api.ok("POST", f"{path}/cordon")
        assert (await api.ok("GET", path))["cordoned"]
        await api.ok("POST", f"{path}/uncordon")
        set_ = await api.call("POST", f"{path}/metadata/b", {"value": "2"})
        assert (set_.status_code, set_.content) == (204, b"")
        assert (await api.call("DELETE", f"{path}/metadata/a")).status_code == 204
        assert await api.ok("GET", f"{path}/metadata") == {"b": "2"}
        after = await api.ok("GET", path)
        assert (after["cordoned"], after["instance_id"]) == (False, machine["instance_id"])
        await api.refused(400, "POST", f"{path}/metadata/b", {"value": None})
        await api.refused(404, "GET", f"{MACHINES}/none/metadata")
        await api.refused(404, "DELETE", f"{MACHINES}/none/metadata/a")

    with_api(tmp_path, body)


def test_wait(tmp_path: Path) -> None:
    """Started is the default; several states; 408 at the deadline; 400 when impossible."""

    async def body(api: ApiBench) -> None:
        machine = await api.machine()
        path = f"{MACHINES}/{machine['id']}/wait"
        assert await api.ok("GET", path) == {"ok": True}
        for state in ("settled", ["stopped", "started"]):
            await api.ok("GET", path, params={"state": state, "timeout": "1"})
        await api.ok("GET", path, params={"timeout": "1s", "version": machine["instance_id"]})
        late = await api.refused(408, "GET", path, params={"state": "stopped", "timeout": "0"})
        assert "it is started" in late["error"]
        await api.refused(400, "GET", path, params={"state": "running"})
        await api.refused(400, "GET", path, params={"timeout": "-1s"})
        await api.refused(400, "GET", path, params={"timeout": "x"})
        await api.refused(404, "GET", f"{MACHINES}/none/wait")

    with_api(tmp_path, body)


def test_wait_is_woken(tmp_path: Path) -> None:
    """A wait that began before the change answers with it."""

    async def body(api: ApiBench) -> None:
        machine = await api.machine()
        path = f"{MACHINES}/{machine['id']}"
        params = {"state": "stopped", "timeout": "60"}
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(api.call("GET", f"{path}/wait", params=params))
            await api.ok("GET", path)
            assert not waiting.done()
            await api.ok("POST", f"{path}/stop")
        assert waiting.result().status_code == 200

    with_api(tmp_path, body)


def test_leases(tmp_path: Path) -> None:
    """Take, look, refresh with the same nonce, refuse others, give back."""

    async def body(api: ApiBench) -> None:
        machine = await api.machine()
        path = f"{MACHINES}/{machine['id']}"
        problem = await api.refused(404, "GET", f"{path}/lease")
        assert "lease not found" in problem["error"]
        taken = await api.call("POST", f"{path}/lease", params={"ttl": "13"})
        assert taken.status_code == 201
        lease = taken.json()
        data = lease["data"]
        assert lease["status"] == "success"
        assert data["expires_at"] == api.bench.clock.ms // 1000 + 13
        assert (data["version"], data["owner"]) == (machine["instance_id"], "admin")
        assert await api.ok("GET", f"{path}/lease") == lease
        await api.refused(409, "POST", f"{path}/lease", params={"ttl": "13"})
        api.bench.clock.forward(5)
        again = await api.ok("POST", f"{path}/lease", {"ttl": 20}, nonce=data["nonce"])
        assert again["data"]["nonce"] == data["nonce"]
        assert again["data"]["expires_at"] == api.bench.clock.ms // 1000 + 20
        await api.refused(409, "POST", f"{path}/stop")
        await api.refused(409, "DELETE", path, params={"force": "true"}, nonce="wrong")
        await api.ok("POST", f"{path}/stop", nonce=data["nonce"])
        await api.refused(409, "DELETE", f"{path}/lease")
        assert await api.ok("DELETE", f"{path}/lease", nonce=data["nonce"]) == {"ok": True}
        await api.refused(404, "DELETE", f"{path}/lease", nonce=data["nonce"])
        await api.refused(404, "POST", f"{MACHINES}/none/lease")
        await api.refused(400, "POST", f"{path}/lease", params={"ttl": "-5"})

    with_api(tmp_path, body)


def test_create_with_a_lease(tmp_path: Path) -> None:
    """The nonce is in the create reply and nowhere else."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", "/v1/apps", {"name": "web"})
        made = await api.ok("POST", MACHINES, {"config": {"image": "x"}, "lease_ttl": 300})
        path = f"{MACHINES}/{made['id']}"
        assert "nonce" not in await api.ok("GET", path)
        await api.ok("DELETE", f"{path}/lease", nonce=made["nonce"])

    with_api(tmp_path, body)


def test_exec(tmp_path: Path) -> None:
    """A list or a string; a command that fails is 200 with its code."""

    async def body(api: ApiBench) -> None:
        machine = await api.machine()
        path = f"{MACHINES}/{machine['id']}/exec"
        api.bench.host.exec_result = ExecResult(exit_code=3, stdout=b"o\xff", stderr=b"e")
        ran = await api.ok("POST", path, {"cmd": "sh -c 'exit 3'", "stdin": "in", "timeout": 5})
        assert ran == {"exit_code": 3, "stdout": "o\ufffd", "stderr": "e"}
        await api.ok("POST", path, {"command": ["ls", "-l"]})
        assert api.bench.host.commands == [
            (("sh", "-c", "exit 3"), b"in", 5),
            (("ls", "-l"), b"", 60),
        ]
        for bad in (
            {},
            {"cmd": ""},
            {"cmd": "'"},
            {"command": ["a\0"]},
            {"cmd": "x", "timeout": -1},
        ):
            await api.refused(400, "POST", path, bad)
        await api.refused(404, "POST", f"{MACHINES}/none/exec", {"cmd": "ls"})
        await api.ok("POST", f"{MACHINES}/{machine['id']}/stop")
        await api.refused(412, "POST", path, {"cmd": "ls"})

    with_api(tmp_path, body)


def test_signal_processes_memory(tmp_path: Path) -> None:
    """By number or name; processes under both names; memory in bytes."""

    async def body(api: ApiBench) -> None:
        machine = await api.machine()
        path = f"{MACHINES}/{machine['id']}"
        for signal in (9, "SIGUSR1", "term"):
            await api.ok("POST", f"{path}/signal", {"signal": signal})
        assert [number for _, number in api.bench.host.signals] == [9, 10, 15]
        for bad in (0, 99, "SIGFOO", None, "\u00b2", "9" * 5000):
            await api.refused(400, "POST", f"{path}/signal", {"signal": bad})
        for name in ("ps", "processes"):
            (process,) = await api.ok("GET", f"{path}/{name}")
            assert (process["pid"], process["command"], process["rss"], process["cpu"]) == (
                7,
                "/bin/app --serve",
                4096,
                1,
            )
            assert process["listen_sockets"] == []
        assert await api.ok("GET", f"{path}/memory") == {"resident": 1000, "swapped": 24}
        for name in ("ps", "processes", "memory"):
            await api.refused(404, "GET", f"{MACHINES}/none/{name}")
        await api.refused(404, "POST", f"{MACHINES}/none/signal", {"signal": 9})

    with_api(tmp_path, body)
