"""Deploys, scaling, releases and logs over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

from roost.errors import InvalidError, UnavailableError
from tests.support.api_bench import ApiBench, lines, with_api

DEPLOYS = "/v1/apps/web/deploys"
BODY = {"config": {"app": "web"}, "image": "x"}


def test_a_deploy_is_told_line_by_line(tmp_path: Path) -> None:
    """The request reaches the deployer with the caller's name; each event is an object."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", "/v1/apps", {"name": "web"})
        api.deployer.gate.set()
        reply = await api.call("POST", DEPLOYS, BODY)
        assert reply.headers["content-type"] == "application/x-ndjson"
        assert lines(reply) == [
            {"type": "step", "message": "pulling", "image": "x"},
            {"type": "done", "message": "deployed"},
        ]
        ((app, request, user),) = api.deployer.requests
        assert (app, request.image, user) == ("web", "x", "admin")

    with_api(tmp_path, body)


def test_a_deploy_goes_on_without_its_caller(tmp_path: Path) -> None:
    """A client that leaves does not end it."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", "/v1/apps", {"name": "web"})
        async with asyncio.TaskGroup() as group:
            calling = group.create_task(api.call("POST", DEPLOYS, BODY))
            await api.deployer.begun.wait()
            calling.cancel()
        api.deployer.gate.set()
        await asyncio.wait_for(api.deployer.finished.wait(), 5)

    with_api(tmp_path, body)


def test_a_failed_deploy_ends_with_its_sentence(tmp_path: Path) -> None:
    """Errors, expected or not, are the last event, and never hurt the daemon."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", "/v1/apps", {"name": "web"})
        api.deployer.gate.set()
        api.deployer.error = UnavailableError("registry down", hint="wait")
        last = lines(await api.call("POST", DEPLOYS, BODY))[-1]
        assert last == {
            "type": "failed",
            "message": "registry down",
            "status": "unavailable",
            "hint": "wait",
        }
        api.deployer.error = ZeroDivisionError()
        last = lines(await api.call("POST", DEPLOYS, BODY))[-1]
        assert (last["type"], last["status"]) == ("failed", "internal")

    with_api(tmp_path, body)


def test_refused_deploys(tmp_path: Path) -> None:
    """An unknown app is 404, a body that is no request 400, before anything begins."""

    async def body(api: ApiBench) -> None:
        await api.refused(404, "POST", DEPLOYS, BODY)
        await api.ok("POST", "/v1/apps", {"name": "web"})
        problem = await api.refused(400, "POST", DEPLOYS, {"config": {"appp": "web"}})
        assert "appp" in problem["error"]
        await api.refused(400, "POST", DEPLOYS, {})
        assert api.deployer.requests == []

    with_api(tmp_path, body)


def test_scale(tmp_path: Path) -> None:
    """Counts reach the scaler; its errors reach the caller."""

    async def body(api: ApiBench) -> None:
        await api.refused(404, "POST", "/v1/apps/web/scale", {"counts": {"app": 1}})
        await api.ok("POST", "/v1/apps", {"name": "web"})
        reply = await api.ok("POST", "/v1/apps/web/scale", {"counts": {"app": 3, "w": "+1"}})
        assert reply == {"changes": ["app has 3", "w has +1"]}
        assert api.scaler.asked == [("web", {"app": 3, "w": "+1"})]
        api.scaler.error = InvalidError("too many")
        await api.refused(400, "POST", "/v1/apps/web/scale", {"counts": {"app": 1}})
        await api.refused(400, "POST", "/v1/apps/web/scale", {"counts": []})

    with_api(tmp_path, body)


def test_releases(tmp_path: Path) -> None:
    """Newest first, with what the next deploy needs."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", "/v1/apps", {"name": "web"})
        releases = api.bench.control.releases
        for image in ("one", "two"):
            made = await releases.create(
                "web", strategy="rolling", image=image, user="me", config={"app": "web"}
            )
            await releases.finish("web", made.version, "complete")
        found = (await api.ok("GET", "/v1/apps/web/releases"))["releases"]
        assert [(r["version"], r["image_ref"], r["status"]) for r in found] == [
            (2, "two", "complete"),
            (1, "one", "complete"),
        ]
        assert found[0]["config"] == {"app": "web"}
        limited = await api.ok("GET", "/v1/apps/web/releases", params={"limit": "1"})
        assert len(limited["releases"]) == 1
        assert (await api.ok("GET", "/v1/apps/web"))["status"] == "deployed"
        await api.refused(404, "GET", "/v1/apps/none/releases")

    with_api(tmp_path, body)


def test_logs(tmp_path: Path) -> None:
    """The last lines as objects, of an app or of one Machine."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", "/v1/apps", {"name": "web"})
        logs = api.bench.control.context.logs
        logs.write("web", "one", machine="m1", source="proxy", level="error", code="PM05")
        api.bench.clock.forward(1)
        logs.write("web", "two")
        found = lines(await api.call("GET", "/v1/apps/web/logs"))
        assert found[0] == {
            "timestamp": "2023-11-14T22:13:20.000000000Z",
            "app": "web",
            "instance": "m1",
            "region": "local",
            "level": "error",
            "source": "proxy",
            "message": "one",
            "code": "PM05",
        }
        assert [line["message"] for line in found] == ["one", "two"]
        last = lines(await api.call("GET", "/v1/apps/web/logs", params={"limit": "1"}))
        assert [line["message"] for line in last] == ["two"]
        mine = lines(await api.call("GET", "/v1/apps/web/logs", params={"machine": "m1"}))
        assert [line["message"] for line in mine] == ["one"]
        await api.refused(404, "GET", "/v1/apps/none/logs")
        await api.refused(400, "GET", "/v1/apps/web/logs", params={"limit": "-1"})

    with_api(tmp_path, body)


def test_followed_logs_end_with_the_app(tmp_path: Path) -> None:
    """The stream of an app that is destroyed ends, whether it ever had a line or not."""

    async def body(api: ApiBench) -> None:
        params = {"follow": "true", "limit": "5"}
        for first in (["old"], []):
            await api.ok("POST", "/v1/apps", {"name": "web"})
            for text in first:
                api.bench.control.context.logs.write("web", text)
            async with asyncio.TaskGroup() as group:
                call = api.call("GET", "/v1/apps/web/logs", params=params)
                following = group.create_task(call)
                await api.bench.clock.slept.wait()
                await api.ok("DELETE", "/v1/apps/web")
            assert [line["message"] for line in lines(following.result())] == first
            api.bench.clock.slept.clear()

    with_api(tmp_path, body)
