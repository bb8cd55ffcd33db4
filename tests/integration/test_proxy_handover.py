"""One proxy takes over from another while it is in use: real proxies, real namespaces."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.h2_peer import H2Peer
from tests.support.handover_load import (
    Backend,
    Load,
    WebSockets,
    http,
    kept_alive,
    names,
    new_connections,
    one_stream,
    raw_echo,
    websocket_echo,
)
from tests.support.handover_world import Handovers, Heir, Proxy, handovers, take_over, waits
from tests.support.http_peer import Peer, get, ok
from tests.support.proxy_control import ControlError, app, app_at, machine
from tests.support.proxy_world import echo, served, udp_echo

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root"),
]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Handovers]:
    with contextlib.ExitStack() as stack:
        yield handovers(stack, tmp_path)


def test_open_streams_go_on_and_new_ones_come_to_the_heir(stage: Handovers) -> None:
    """A stream survives the handover byte-exact; the elder leaves when its last one has ended."""
    address, inside = stage.world.add_machine()
    stage.put("machine", machine("m1", "a", address))
    elder = stage.start(standby=False)
    with served(stage.world.listen(inside), echo):
        with stage.world.call(2) as before:
            before.sendall(b"one")
            assert before.recv(3) == b"one"
            heir = stage.start(threads=1)
            # Two workers, each one port and DNS over both transports at two addresses.
            assert take_over(heir, elder) == 10
            before.sendall(b"two")
            assert before.recv(3) == b"two"
            with stage.world.call(2) as after:
                after.sendall(b"three")
                assert after.recv(5) == b"three"
                assert (elder.stats()["connections"], heir.stats()["connections"]) == (1, 1)
        assert elder.left() == 0
        with stage.world.call(2) as last:
            last.sendall(b"four")
            assert last.recv(4) == b"four"


def test_port_ranges_are_the_serving_proxys(stage: Handovers) -> None:
    """A proxy in standby, which may not have heard of all ranges yet, takes none away from callers;
    once it serves its own count, and changes that the elder hears of undo nothing.
    """
    address, inside = stage.world.add_machine()

    def told(first: int) -> tuple[str, dict[str, Any]]:
        ports = [{"port": first, "end_port": first + 99, "handlers": []}]
        return "machine", machine("m1", "a", address, ports=ports)

    def echoes(port: int) -> None:
        with stage.world.call(2, port) as caller:
            caller.sendall(b"hello")
            assert caller.recv(5) == b"hello"

    stage.put(*told(20_000))
    elder = stage.start(standby=False)
    with served(stage.world.listen(inside), echo), stage.world.call(2, 20_050) as kept:
        stage.puts[-1] = told(30_000)
        heir = stage.start()
        echoes(20_050)
        assert take_over(heir, elder) > 0
        echoes(30_050)
        elder.control.put(*stage.puts[-1])
        elder.control.put("machine", machine("m1", "a", address, ports=[]))
        echoes(30_050)
        kept.sendall(b"still")
        assert kept.recv(5) == b"still"


def call(stage: Handovers) -> Peer:
    """A raw call to the app."""
    return stage.stack.enter_context(Peer(stage.world.call(2)))


def talk(stage: Handovers, listener: socket.socket) -> tuple[Peer, Peer]:
    """A raw call that carries bytes: the caller's end and the Machine's."""
    caller = call(stage)
    inside = stage.stack.enter_context(Peer(listener.accept()[0]))
    carries(caller, inside)
    return caller, inside


def carries(caller: Peer, inside: Peer) -> None:
    """Bytes pass both ways."""
    caller.send("ping")
    assert inside.take(4) == b"ping"
    inside.send("pong")
    assert caller.take(4) == b"pong"


def end(caller: Peer, inside: Peer) -> None:
    """Both ends close."""
    caller.close()
    inside.close()


def one_machine(stage: Handovers, state: str = "started", **more: Any) -> socket.socket:
    """The app's Machine m1; gives its listener."""
    address, inside = stage.world.add_machine()
    stage.put("machine", machine("m1", "a", address, state, **more))
    return stage.stack.enter_context(stage.world.listen(inside))


def test_hard_limit_counts_both(stage: Handovers) -> None:
    """Who calls the heir waits while the elder's streams fill the limit, until one of them ends."""
    listener = one_machine(stage, limits={"hard_limit": 2})
    elder = stage.start(standby=False)
    first = talk(stage, listener)
    talk(stage, listener)
    heir = stage.start()
    take_over(heir, elder)
    third = call(stage)
    waits(heir, 1)
    end(*first)
    inside = stage.stack.enter_context(Peer(listener.accept()[0]))
    carries(third, inside)


def test_who_waits_in_the_elder_is_served_in_turn(stage: Handovers) -> None:
    """A caller that waited at the limit before the handover comes before one that came after it."""
    listener = one_machine(stage, limits={"hard_limit": 1})
    elder = stage.start(standby=False)
    busy = talk(stage, listener)
    early = call(stage)
    waits(elder, 1)
    heir = stage.start()
    take_over(heir, elder)
    late = call(stage)
    waits(heir, 2)
    end(*busy)
    served_first = stage.stack.enter_context(Peer(listener.accept()[0]))
    carries(early, served_first)
    end(early, served_first)
    carries(late, stage.stack.enter_context(Peer(listener.accept()[0])))
    assert elder.left() == 0


def test_who_waits_in_the_elder_for_a_wake_is_served(stage: Handovers) -> None:
    """The heir asks for the wake that the elder's caller waits for, and the elder connects."""
    address, inside = stage.world.add_machine()
    stage.put("machine", machine("m1", "a", address, "stopped"))
    elder = stage.start(standby=False)
    caller = call(stage)
    elder.control.event("wake", machine="m1")
    heir = stage.start()
    take_over(heir, elder)
    heir.control.event("wake", machine="m1")
    heir.control.put("machine", machine("m1", "a", address, "started"))
    with stage.world.listen(inside) as listener:
        accepted, _ = listener.accept()
        # The connection that proved the port is the heir's, and ends; the elder opens its own.
        with accepted, Peer(listener.accept()[0]) as second:
            carries(caller, second)


def test_a_wake_that_fails_is_told_to_the_elder(stage: Handovers) -> None:
    """A refusal of the heir ends the elder's wait, with its code and sentence in the app's log."""
    address, _ = stage.world.add_machine()
    stage.put("machine", machine("m1", "a", address, "stopped"))
    elder = stage.start(standby=False)
    caller = call(stage)
    elder.control.event("wake", machine="m1")
    heir = stage.start()
    take_over(heir, elder)
    heir.control.event("wake", machine="m1")
    heir.control.call("wake_failed", machine="m1", code="PM07", message="no image")
    with pytest.raises(ConnectionResetError):
        caller.rest()
    assert elder.control.event("log", code="PM07")["message"] == "no image"


@pytest.mark.parametrize("until", ["take", "ready", "go"])
def test_elder_goes_on_when_the_heir_dies(stage: Handovers, until: str) -> None:
    """Whatever step the heir dies at before it serves: those who called meanwhile are served."""
    listener = one_machine(stage, limits={"hard_limit": 2})
    elder = stage.start(standby=False)
    busy = talk(stage, listener)
    with Heir(elder.socket) as heir:
        heir.take()
        if until != "take":
            heir.say(heir="ready")
        if until == "go":
            heir.hear("go")
        caller = call(stage)
    carries(caller, stage.stack.enter_context(Peer(listener.accept()[0])))
    carries(*busy)
    # Its load counts as before, and another one may take over.
    call(stage)
    waits(elder, 1)
    assert take_over(stage.start(), elder) == 10


def test_elder_refuses_a_version_that_it_does_not_speak(stage: Handovers) -> None:
    """Another version of the conversation is answered by a sentence, and nothing changes."""
    listener = one_machine(stage)
    elder = stage.start(standby=False)
    with Heir(elder.socket) as heir:
        heir.say(heir="take", handover=99, version="9", drain_ms=0)
        assert "version 1, not 99" in heir.hear("refuse")["message"]
    talk(stage, listener)


def as_a_stranger(folder: Path, name: str, line: bytes) -> str:
    """What another user gets who says a line to a socket: all of it, or why nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(name)
                sock.sendall(line)
                said = repr(socket.recv_fds(sock, 9, 9))
        except OSError as error:
            said = repr(error)
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def test_another_user_takes_nothing(stage: Handovers) -> None:
    """A process of another user that got at a socket gets no word and no sockets, and puts no agent
    out; the proxy serves on, and hands over to one of its own.
    """
    listener = one_machine(stage)
    elder = stage.start(standby=False)
    hand = elder.socket.with_suffix(".hand")
    assert stat.S_IMODE(hand.stat().st_mode) == stat.S_IMODE(elder.socket.stat().st_mode) == 0o600
    stage.folder.chmod(0o711)
    take = b'{"heir":"take","handover":1,"version":"x","drain_ms":0}\n'
    assert "PermissionError" in as_a_stranger(stage.folder, hand.name, take)
    hand.chmod(0o666)
    nothing = ("(b'', [], ", "ConnectionResetError", "BrokenPipeError")
    assert as_a_stranger(stage.folder, hand.name, take).startswith(nothing)
    elder.socket.chmod(0o666)
    stop = b'{"seq":1,"op":"stop","grace_ms":0}\n'
    assert as_a_stranger(stage.folder, elder.socket.name, stop).startswith(nothing)
    assert elder.stats()["machines"] == 1
    talk(stage, listener)
    assert take_over(stage.start(), elder) == 10


def test_nobody_to_take_over_from(stage: Handovers) -> None:
    """An elder that is not there is an error that names it, and the heir serves nothing."""
    heir = stage.start()
    with pytest.raises(ControlError, match=r"cannot take over from .*none\.sock"):
        heir.control.call("take_over", **{"from": [str(stage.folder / "none.sock")]}, drain_ms=0)
    with pytest.raises(ConnectionRefusedError):
        call(stage)


def test_load_of_an_elder_that_dies_is_forgotten(stage: Handovers) -> None:
    """The heir serves on, and what filled the limit in the elder counts no more."""
    listener = one_machine(stage, limits={"hard_limit": 1})
    elder = stage.start(standby=False)
    talk(stage, listener)
    heir = stage.start()
    take_over(heir, elder)
    late = call(stage)
    waits(heir, 1)
    elder.kill()
    carries(late, stage.stack.enter_context(Peer(listener.accept()[0])))


def test_streams_outlive_the_heir(stage: Handovers) -> None:
    """When the heir dies a third one takes over from the first: its streams go on, and count."""
    listener = one_machine(stage, limits={"hard_limit": 1})
    elder = stage.start(standby=False)
    busy = talk(stage, listener)
    heir = stage.start()
    take_over(heir, elder)
    heir.kill()
    carries(*busy)
    third = stage.start()
    take_over(third, elder)
    late = call(stage)
    waits(third, 1)
    carries(*busy)
    end(*busy)
    carries(late, stage.stack.enter_context(Peer(listener.accept()[0])))
    assert elder.left() == 0


def test_three_at_once_count_each_unit_once(stage: Handovers) -> None:
    """With two elders that still have streams the limit is exact, also when the middle one ends."""
    listener = one_machine(stage, limits={"hard_limit": 3})
    first = stage.start(standby=False)
    oldest = talk(stage, listener)
    second = stage.start(threads=3)
    take_over(second, first)
    middle = talk(stage, listener)
    third = stage.start(threads=1)
    take_over(third, second)
    take_over(third, first)
    talk(stage, listener)
    late = call(stage)
    waits(third, 1)
    end(*middle)
    carries(late, stage.stack.enter_context(Peer(listener.accept()[0])))
    assert second.left() == 0
    later = call(stage)
    waits(third, 1)
    carries(*oldest)
    end(*oldest)
    carries(later, stage.stack.enter_context(Peer(listener.accept()[0])))
    assert first.left() == 0


def test_machine_that_only_the_elder_uses_is_not_idle(stage: Handovers) -> None:
    """An old stream is load in the heir's report, and `if_idle` takes no hold until it ends."""
    listener = one_machine(stage)
    elder = stage.start(standby=False)
    busy = talk(stage, listener)
    heir = stage.start()
    take_over(heir, elder)
    heir.control.wait(
        lambda line: line["ev"] == "load" and line["machines"] == {"m1": {"7000": [1, 1]}}
    )
    ack = heir.control.call("drain", machine="m1", if_idle=True)
    assert (ack["drained"], ack["load"]) == (False, 1)
    end(*busy)
    assert elder.left() == 0
    assert heir.control.call("drain", machine="m1", if_idle=True)["drained"]


def test_drain_goes_on_in_the_heir(stage: Handovers) -> None:
    """A Machine that was drained before gets no calls after; the agent is asked to wake it."""
    listener = one_machine(stage)
    elder = stage.start(standby=False)
    heir = stage.start()
    assert elder.control.call("drain", machine="m1", if_idle=True)["drained"]
    take_over(heir, elder)
    caller = call(stage)
    heir.control.event("wake", machine="m1")
    heir.control.put(*stage.puts[-1])
    carries(caller, stage.stack.enter_context(Peer(listener.accept()[0])))


def test_released_address_ends_streams_of_the_elder(stage: Handovers) -> None:
    """Access that ends, ends in both."""
    listener = one_machine(stage)
    elder = stage.start(standby=False)
    caller, _ = talk(stage, listener)
    heir = stage.start()
    take_over(heir, elder)
    stage.put("app", app_at("a", [], drain_ms=50))
    with pytest.raises(ConnectionResetError):
        caller.rest()
    assert elder.left() == 0


def test_streams_are_reset_when_the_time_is_over(stage: Handovers) -> None:
    """After `drain_ms` what is left in the elder is reset on both sides, and it leaves."""
    listener = one_machine(stage)
    elder = stage.start(standby=False)
    caller, inside = talk(stage, listener)
    take_over(stage.start(), elder, drain_ms=100)
    for peer in (caller, inside):
        with pytest.raises(ConnectionResetError):
            peer.rest()
    assert elder.left() == 0


def test_idle_http_client_is_not_surprised(stage: Handovers) -> None:
    """A kept-alive connection is not closed under its client: its next answer ends it."""
    listener = one_machine(stage, port={"port": 5000, "handlers": ["http"]})
    elder = stage.start(standby=False)
    client = call(stage)
    client.send(get())
    with Peer(listener.accept()[0]) as inside:
        inside.head()
        inside.send(ok())
        assert "connection: close" not in client.answer()[0].lower()
    take_over(stage.start(), elder)
    client.send(get())
    with Peer(listener.accept()[0]) as inside:
        inside.head()
        inside.send(ok())
        assert "connection: close" in client.answer()[0].lower()
    assert client.rest() == b""
    assert elder.left() == 0


@pytest.mark.parametrize("h2_backend", [False, True], ids=["http1", "http2"])
def test_streams_of_http2_end_in_the_elder(stage: Handovers, h2_backend: bool) -> None:
    """A client in HTTP/2 is told to go by GOAWAY. Its streams, also one that was on its way at that
    moment, are served by the elder to their end; its next connection is the heir's.
    """
    port = {"port": 5000, "handlers": ["http"], "http_options": {"h2_backend": h2_backend}}
    listener = one_machine(stage, port=port, limits={"type": "requests"})
    elder = stage.start(standby=False, threads=1)
    client = H2Peer(call(stage))
    half = client.fetch("/half")
    app = Machines(stage, listener, h2_backend)
    finish = app.half()
    client.until(lambda: client.streams[half].body == b"ha")
    heir = stage.start()
    take_over(heir, elder)
    raced = client.fetch("/raced")
    app.answer("/raced")
    client.until(lambda: client.goaway == 0)
    new = H2Peer(call(stage))
    after = new.fetch("/after")
    Machines(stage, listener, h2_backend).answer("/after")
    assert new.response(after).body == b"/after"
    assert new.goaway is None
    finish()
    assert client.response(half).body == b"half"
    assert client.response(raced).body == b"/raced"
    assert client.end() == 0
    client.peer.close()
    assert elder.left() == 0
    assert heir.stats()["connections"] == 1


class Machines:
    """A Machine's side towards one proxy, in one version of HTTP or the other."""

    def __init__(self, stage: Handovers, listener: socket.socket, h2_backend: bool) -> None:
        self._stage, self._listener = stage, listener
        self._h2 = H2Peer(self._accept(), client=False) if h2_backend else None

    def _accept(self) -> Peer:
        return self._stage.stack.enter_context(Peer(self._listener.accept()[0]))

    def half(self) -> Callable[[], None]:
        """Answers a request by half; gives what sends the other half."""
        if self._h2 is None:
            inside = self._accept()
            inside.head()
            inside.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
            return lambda: inside.send("lf")
        h2 = self._h2
        stream, _ = h2.accept()
        h2.answer(stream, [(":status", "200")], b"ha", more=True)
        return lambda: h2.data(stream, b"lf", end=True)

    def answer(self, path: str) -> None:
        """Answers the next request, which must be for ``path``, with it."""
        if self._h2 is None:
            inside = self._accept()
            assert inside.head().startswith(f"GET {path} ")
            inside.send(ok(path))
            return
        stream, request = self._h2.accept()
        assert request[":path"] == path
        self._h2.answer(stream, [(":status", "200")], path.encode())


def drains(elder: Proxy, client: Peer) -> None:
    """Returns when the elder drains, and every worker of it has taken that in."""
    answer = ""
    while "connection: close" not in answer.lower():
        client.send(get())
        answer, _ = client.answer()
    elder.control.put("app", app("z", "fdaa:0:1:0:1::9"))


def test_who_has_said_nothing_yet_is_not_dropped(stage: Handovers) -> None:
    """A client whose first byte is on the way is served by the elder, on every kind of port."""
    said = {
        443: (["tls", "http"], b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),
        5432: (["pg_tls"], b"\0\0\0\x08\x04\xd2\x16\x2f", b"S"),
        5000: ([], b"PROXY UNKNOWN\r\nhello", b"hello"),
    }
    ports = [
        {"port": port, "handlers": handlers, "accept_proxy_proto": port == 5000}
        for port, (handlers, _, _) in said.items()
    ]
    ports.append({"port": 80, "handlers": ["http"], "force_https": True})
    address, inside = stage.world.add_machine()
    stage.put("machine", machine("m1", "a", address, ports=ports))
    elder = stage.start(standby=False)
    with served(stage.world.listen(inside), echo), contextlib.ExitStack() as callers:
        opened = {port: callers.enter_context(stage.world.call(2, port)) for port in said}
        known = callers.enter_context(Peer(stage.world.call(2, 80)))
        known.send(get())
        known.answer()
        while elder.stats()["connections"] <= len(said):
            elder.control.event("load")
        take_over(stage.start(), elder)
        drains(elder, known)
        for port, (_, request, answer) in said.items():
            opened[port].sendall(request)
            assert Peer(opened[port]).take(len(answer)) == answer
    assert elder.left() == 0


def test_nobody_notices_under_load(stage: Handovers) -> None:
    """Proxies of 2, 3 and 1 threads take over in turn: no call fails, no limit is passed."""
    address, inside = stage.world.add_machine()
    limits = {"type": "requests", "hard_limit": 4}
    web = machine("m1", "a", address, port={"port": 80, "handlers": ["http"]}, limits=limits)
    raw = machine("m2", "a", address)
    raw["services"][0]["internal_port"] = 7001
    stage.put("machine", web)
    stage.put("machine", raw)
    serving = stage.start(standby=False)
    callers = [*[new_connections] * 6, *[kept_alive] * 6, *[one_stream] * 2, *[names] * 2]
    backend = Backend(inside, {7000: http, 7001: raw_echo})
    with backend, Load(stage.world.router, callers) as load:
        for threads in (3, 1):
            load.goes_on(500)
            heir = stage.start(threads=threads)
            take_over(heir, serving)
            for elder in stage.proxies[:-2]:
                take_over(heir, elder)
            serving = heir
        load.goes_on(500)
    assert backend.most == 4
    assert [elder.left() for elder in stage.proxies[:-1]] == [0, 0]


def test_a_thousand_websockets_go_on(stage: Handovers) -> None:
    """1,000 open WebSockets carry messages before, during and after an upgrade; none ends."""
    address, inside = stage.world.add_machine()
    port = {"port": 80, "handlers": ["http"]}
    stage.put("machine", machine("m1", "a", address, port=port))
    elder = stage.start(standby=False)
    crowd = WebSockets(1000)
    with Backend(inside, {7000: websocket_echo}), Load(stage.world.router, [crowd.run]) as load:
        load.goes_on(1000)
        heir = stage.start()
        take_over(heir, elder)
        assert elder.stats()["connections"] == 1000
        crowd.again()
        load.goes_on(1000)
        ack = heir.control.call("drain", machine="m1", if_idle=True)
        assert (ack["drained"], ack["load"]) == (False, 1000)
        crowd.end()
    assert elder.left() == 0


def test_ranges_and_datagrams_come_to_the_heir(stage: Handovers) -> None:
    """The listener of port ranges and those of UDP are handed over: connections and datagrams to a
    range reach the heir, and the elder leaves when its flows have been silent.
    """
    address, inside = stage.world.add_machine()
    ports = [{"port": 10_000, "end_port": 19_999}]
    value = machine("m1", "a", address, ports=ports)
    udp = {"protocol": "udp", "internal_port": 9000, "ports": [{"port": 9000}, *ports]}
    value["services"].append(udp)
    stage.put("machine", value)
    elder = stage.start(standby=False, udp_idle_ms=300)
    with contextlib.ExitStack() as stack:
        stack.enter_context(served(stage.world.listen(inside), echo))
        for port in (9000, 15_000):
            stack.enter_context(udp_echo(stage.world.bind(inside, port)))
        caller = stack.enter_context(stage.world.datagrams())

        def exchange(data: bytes) -> None:
            for port in (9000, 15_000):
                caller.sendto(data, ("fdaa:0:1:0:1::2", port))
                answer, peer = caller.recvfrom(100)
                assert (answer, peer[1]) == (data, port)
            with stage.world.call(2, 12_345) as connection:
                connection.sendall(data)
                assert connection.recv(100) == data

        exchange(b"before")
        heir = stage.start(udp_idle_ms=300)
        take_over(heir, elder)
        exchange(b"after")
        assert heir.stats()["udp_flows"] == 2
        assert elder.left() == 0
        exchange(b"alone")
