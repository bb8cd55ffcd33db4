"""What the proxy is told, and what happens when it does not take it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from roost.agent.proxy_link import ProxyLink
from roost.control.certificate_desk import CertificateDesk
from roost.control.public_pool import NO_POOL
from roost.home import Home
from roost.model.records import App, Org
from roost.proxyctl.client import MAX_LINE, Message, ProxyConnection
from roost.store.base import Put
from roost.store.memory import MemoryStore
from tests.support.control_bench import FakeClock
from tests.support.fake_proxy import FakeProxy
from tests.support.machines import a_machine


def no_desk() -> CertificateDesk:
    raise AssertionError


async def ignore(_event: Message) -> None:
    return


def test_what_the_proxy_refuses_is_not_served_as_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A Machine whose change the proxy does not understand is taken out, and an error is logged:
    going on as before could let callers in that the change keeps out.
    """

    async def main() -> None:
        home, store = Home(tmp_path), MemoryStore()
        home.run.mkdir(parents=True)
        proxy = FakeProxy(home.proxy_socket)
        await proxy.start()
        link = ProxyLink(
            store, home, "local", {}, ignore, clock=FakeClock(), public=NO_POOL, desk=no_desk
        )
        machine = a_machine()
        await store.commit(Put(machine))
        async with asyncio.TaskGroup() as group:
            following = group.create_task(link.run())
            await link.connected.wait()
            assert machine.id in proxy.entities["machine"]
            proxy.refuses.add(machine.id)
            with caplog.at_level(logging.ERROR):
                await store.commit(Put(machine.model_copy(update={"cordoned": True})))
                await proxy.until(lambda: machine.id not in proxy.entities["machine"])
            assert f"does not take machine {machine.id}" in caplog.text
            following.cancel()
        await proxy.stop()
        await store.close()

    asyncio.run(main())


def test_an_organization_is_told_with_its_apps(tmp_path: Path) -> None:
    """What an organization lets replays do reaches the proxy with each of its apps, at once and
    with every later change; a change of something else tells nothing.
    """

    async def main() -> None:
        home, store = Home(tmp_path), MemoryStore()
        home.run.mkdir(parents=True)
        proxy = FakeProxy(home.proxy_socket)
        await proxy.start()
        link = ProxyLink(
            store, home, "local", {}, ignore, clock=FakeClock(), public=NO_POOL, desk=no_desk
        )
        org = Org(slug="acme", name="Acme", replay_sources=("other",), created_at=1)
        common = {"org": "acme", "network": "default", "network_id": 1, "created_at": 1}
        for number, name in enumerate(("a", "b"), 1):
            await store.commit(Put(App(id=name, name=name, number=number, **common)))
        await store.commit(Put(org))
        async with asyncio.TaskGroup() as group:
            following = group.create_task(link.run())
            await link.connected.wait()
            apps = proxy.entities["app"]
            assert [apps[name]["replay_sources"] for name in "ab"] == [["other"], ["other"]]
            opened = org.model_copy(update={"cross_network_replays": True, "replay_sources": ()})
            await store.commit(Put(opened))
            await proxy.until(
                lambda: all(
                    apps[name].get("cross_network_replays") and "replay_sources" not in apps[name]
                    for name in "ab"
                )
            )
            following.cancel()
        await proxy.stop()
        await store.close()

    asyncio.run(main())


def test_two_processes_are_told_the_same_and_one_decides(tmp_path: Path) -> None:
    """While an old process drains both know every change; drains and failed wakes are the serving
    one's, and of the old one's events only those count that nobody else tells.
    """

    async def main() -> None:
        home, store = Home(tmp_path), MemoryStore()
        home.run.mkdir(parents=True)
        old, new = FakeProxy(home.proxy_sockets[0]), FakeProxy(home.proxy_sockets[1])
        heard: list[tuple[str, str]] = []
        enough = asyncio.Event()

        async def hear(event: Message) -> None:
            if event["ev"] != "hello":
                heard.append((event["ev"], event["of"]))
            if event["ev"] == "log" and event["of"] == "new":
                enough.set()

        link = ProxyLink(
            store, home, "local", {}, hear, clock=FakeClock(), public=NO_POOL, desk=no_desk
        )
        machine = a_machine()
        async with asyncio.TaskGroup() as group:
            following = group.create_task(link.run())
            for proxy, path in zip((old, new), home.proxy_sockets, strict=False):
                await proxy.start()
                await link.peer(path).connected.wait()
            link.serve_by(home.proxy_sockets[1])
            # To what it said before nobody listened.
            await new.until(lambda: "tell" in new.asked)
            await store.commit(Put(machine))
            for proxy in (old, new):
                await proxy.until(lambda proxy=proxy: machine.id in proxy.entities["machine"])
            assert await link.drain(machine.id, if_idle=True)
            link.wake_failed(machine.id, "PM01", "no")
            await new.until(lambda: new.failures)
            assert (old.drains, new.drains) == ([], [(machine.id, True)])
            assert old.failures == []
            for ev in ("wake", "load", "ready", "checks", "log", "certificate"):
                old.say(ev, of="old")
            await link.peer(home.proxy_sockets[0]).stats()  # What it said before was heard.
            for ev in ("wake", "log"):
                new.say(ev, of="new")
            await enough.wait()
            assert heard == [
                ("log", "old"),
                ("certificate", "old"),
                ("wake", "new"),
                ("log", "new"),
            ]
            following.cancel()
        await old.stop()
        await new.stop()
        await store.close()

    asyncio.run(main())


@dataclass(frozen=True)
class Two:
    """A link to two processes, which a test starts."""

    home: Home
    store: MemoryStore
    old: FakeProxy
    new: FakeProxy
    link: ProxyLink
    group: asyncio.TaskGroup

    async def take_over(self) -> int:
        """The new one from the old one."""
        first, second, *_ = self.home.proxy_sockets
        return await self.link.take_over(self.link.peer(second), [first], 0)


def with_two(folder: Path, test: Callable[[Two], Awaitable[None]]) -> None:
    """Run a test."""

    async def main() -> None:
        home, store = Home(folder), MemoryStore()
        home.run.mkdir(parents=True)
        old, new = FakeProxy(home.proxy_sockets[0]), FakeProxy(home.proxy_sockets[1])
        link = ProxyLink(
            store, home, "local", {}, ignore, clock=FakeClock(), public=NO_POOL, desk=no_desk
        )
        async with asyncio.TaskGroup() as group:
            following = group.create_task(link.run())
            await test(Two(home, store, old, new, link, group))
            following.cancel()
        await old.stop()
        await new.stop()
        await store.close()

    asyncio.run(main())


async def some_turns() -> None:
    """Whoever could go on has gone on."""
    for _ in range(100):
        await asyncio.sleep(0)


def test_no_snapshot_is_told_while_two_compare(tmp_path: Path) -> None:
    """A process that connects anew while another takes over is told everything after that, and
    never half: what a snapshot does not have is taken away. What changed meanwhile comes too.
    """

    async def test(two: Two) -> None:
        early, late = a_machine(), a_machine(id="148e1234567891", number=6, ipv4=6)
        await two.store.commit(Put(early))

        async def lose_the_old() -> None:
            two.old.hang_up()
            await two.old.until(lambda: two.old.asked.count("hello") == 2)
            await two.store.commit(Put(late))
            await some_turns()
            assert two.old.asked[-1] == "hello"
            assert late.id not in two.new.entities["machine"]

        two.new.before["take_over"] = lose_the_old
        for proxy, path in zip((two.old, two.new), two.home.proxy_sockets, strict=False):
            await proxy.start()
            await two.link.peer(path).connected.wait()
        await two.take_over()
        for proxy in (two.old, two.new):
            await proxy.until(lambda proxy=proxy: late.id in proxy.entities["machine"])
        assert two.old.snapshots == [1, 2]

    with_two(tmp_path, test)


def test_two_compare_after_a_snapshot(tmp_path: Path) -> None:
    """A takeover waits for a snapshot that is under way, which goes on; drains wait for it."""

    async def test(two: Two) -> None:
        machine = a_machine()
        await two.store.commit(Put(machine))
        goes_on, begun = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            begun.set()
            await goes_on.wait()

        two.old.before["snapshot"] = wait
        await two.old.start()
        await two.new.start()
        await two.link.peer(two.home.proxy_sockets[1]).connected.wait()
        two.link.serve_by(two.home.proxy_sockets[1])
        await begun.wait()
        taking = two.group.create_task(two.take_over())
        await asyncio.sleep(0)
        draining = two.group.create_task(two.link.drain(machine.id, if_idle=True))
        await some_turns()
        assert "take_over" not in two.new.asked
        assert two.new.drains == []
        goes_on.set()
        await taking
        assert await draining
        assert two.old.snapshots == [1]
        assert two.new.asked.index("take_over") < two.new.asked.index("drain")

    with_two(tmp_path, test)


def test_a_message_that_is_too_long_is_not_sent(tmp_path: Path) -> None:
    """Its ack says so at once, and what follows is answered as ever."""

    async def main() -> None:
        proxy = FakeProxy(tmp_path / "proxy.sock")
        await proxy.start()
        connection = await ProxyConnection.connect(tmp_path / "proxy.sock")

        async def read() -> None:
            async for _ in connection.events():
                pass

        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            value = {"id": "m", "state": "x" * MAX_LINE}
            answer = await connection.post("put", kind="machine", value=value)
            assert "too long" in answer["error"]
            value["state"] = "started"
            assert "error" not in await connection.send("put", kind="machine", value=value)
            connection.close()
        await proxy.stop()

    asyncio.run(main())
