"""The proxy asks for certificates, and gets them, or why there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from roost.control.acting import acting
from roost.control.certificate_desk import CertificateDesk
from roost.model.certificates import Certificate, IssuedCertificate
from roost.pki.root import DAY_MS
from roost.store.base import Put
from tests.support.agent_rig import AgentRig
from tests.support.certificates import DAY, make

TLS = [{"internal_port": 8080, "ports": [{"port": 443, "handlers": ["tls"]}]}]
ISSUED = "issued:web/personal"


def run(folder: Path, test: Callable[[AgentRig], Awaitable[None]]) -> None:
    """Run a test over a proxy and the parts of agents."""

    async def main() -> None:
        rig = AgentRig(folder)
        await rig.proxy.start()
        try:
            await test(rig)
        finally:
            await rig.proxy.stop()

    asyncio.run(main())


async def served(rig: AgentRig) -> str:
    """An app that speaks TLS at an address; its Machine."""
    await rig.app()
    machine = await rig.machine(services=TLS)
    await rig.control.addresses.allocate("web")
    return machine


def shown(rig: AgentRig) -> dict[str, dict[str, Any]]:
    return rig.proxy.entities["certificate"]


def test_a_certificate_is_issued_when_the_proxy_asks(tmp_path: Path) -> None:
    """Before, there is none; asked again and again, it is the same; later it is renewed."""

    async def test(rig: AgentRig) -> None:
        async with rig.running():
            await served(rig)
            assert shown(rig) == {}
            rig.proxy.say("certificate", app="web", audience="personal")
            rig.proxy.say("certificate", app="web", audience="personal")
            await rig.proxy.until(lambda: ISSUED in shown(rig))
            first = dict(shown(rig)[ISSUED])
            assert first["app"] == "web"
            assert first["audience"] == "personal"
            assert first["names"][0] == "web.flycast"
            assert first["not_before"] < rig.clock.ms // 1000 < first["renew_at"]
            assert "PRIVATE KEY" in first["key"]
            assert acting() is None
            rig.clock.ms = first["renew_at"] * 1000 + 1000
            rig.proxy.say("certificate", app="web", audience="personal")
            await rig.proxy.until(lambda: shown(rig)[ISSUED] != first)
            assert shown(rig)[ISSUED]["key"] != first["key"]

    run(tmp_path, test)


def test_a_refusal_has_a_reason(tmp_path: Path) -> None:
    """Those who wait are told, and the next who ask are answered anew."""

    async def test(rig: AgentRig) -> None:
        async with rig.running():
            await rig.app()
            for number in (1, 2):
                rig.proxy.say("certificate", app="web", audience="personal")
                await rig.proxy.until(lambda number=number: len(rig.proxy.refusals) == number)
            last = rig.proxy.refusals[-1]
            assert (last["app"], last["audience"]) == ("web", "personal")
            assert "no port with the tls handler" in last["message"]

    run(tmp_path, test)


class Late(CertificateDesk):
    """Issues, and then the app is gone before anybody hears of it."""

    def __init__(self, rig: AgentRig) -> None:
        self._rig = rig
        self._desk = rig.control.certificate_desk

    async def issue(self, app: str, audience: str) -> IssuedCertificate:
        made = await self._desk.issue(app, audience)
        await self._rig.control.apps.destroy(app)
        known = self._rig.proxy.entities
        await self._rig.proxy.until(lambda: not known["app"] and not known["certificate"])
        return made

    def issued(self, app: str, audience: str) -> IssuedCertificate | None:
        return self._desk.issued(app, audience)

    def key_of(self, record: Certificate | IssuedCertificate) -> str:
        return self._desk.key_of(record)


def test_what_is_gone_is_not_shown_again(tmp_path: Path) -> None:
    """An app that is destroyed while its certificate is being issued leaves none in the proxy."""

    async def test(rig: AgentRig) -> None:
        async with rig.running():
            await served(rig)
            rig.control.certificate_desk = Late(rig)
            rig.proxy.say("certificate", app="web", audience="personal")
            await rig.proxy.until(lambda: "web" not in rig.proxy.entities["app"])
            rig.proxy.say("certificate", app="none", audience="personal")
            await rig.proxy.until(lambda: rig.proxy.refusals)
            assert rig.proxy.refusals[0]["app"] == "none"
            assert shown(rig) == {}

    run(tmp_path, test)


def test_no_certificate_is_lost_over_a_restart(tmp_path: Path) -> None:
    """A new agent's snapshot has those that have not ended, and nobody has to ask."""

    async def test(rig: AgentRig) -> None:
        async with rig.running():
            await served(rig)
            rig.proxy.say("certificate", app="web", audience="personal")
            await rig.proxy.until(lambda: ISSUED in shown(rig))
            before = dict(shown(rig)[ISSUED])
        rig.boot()
        async with rig.running():
            assert shown(rig)[ISSUED] == before
        rig.clock.ms += 8 * DAY_MS
        rig.boot()
        async with rig.running():
            assert shown(rig) == {}

    run(tmp_path, test)


def test_certificates_come_and_go_as_they_are_written(tmp_path: Path) -> None:
    """One that a user brought is shown to all callers; destroying the app takes all of them."""

    async def test(rig: AgentRig) -> None:
        async with rig.running():
            await served(rig)
            begins = datetime.fromtimestamp(rig.clock.ms / 1000, UTC) - DAY
            made = make("www.example.com", begins=begins)
            name = "www.example.com"
            await rig.control.certificates.put("web", name, made.text, made.key_text)
            await rig.proxy.until(lambda: "given:www.example.com" in shown(rig))
            given = shown(rig)["given:www.example.com"]
            assert given["names"] == [name]
            assert "audience" not in given
            assert "renew_at" not in given
            rig.proxy.say("certificate", app="web", audience="personal")
            await rig.proxy.until(lambda: ISSUED in shown(rig))
            await rig.control.apps.destroy("web")
            await rig.proxy.until(lambda: shown(rig) == {})

    run(tmp_path, test)


def test_machines_trust_their_organizations_roots(tmp_path: Path) -> None:
    """From their first start, unless they say otherwise; a rotation reaches them at the next one,
    also those that were prepared before.
    """

    async def test(rig: AgentRig) -> None:
        async with rig.running():
            await rig.app()
            own = {"SSL_CERT_FILE": "/mine.pem"}
            machine, other = await rig.machine(), await rig.machine(env=own)
            await rig.until(machine, "started")
            await rig.until(other, "started")
            first = rig.control.authorities.trusted("personal")[0].certificate
            spec = rig.runtime.spec(machine)
            assert spec.roots == (first,)
            assert spec.env["SSL_CERT_FILE"] == "/etc/ssl/certs/ca-certificates.crt"
            assert spec.env["NODE_EXTRA_CA_CERTS"] == "/.roost/ca.crt"
            assert rig.runtime.spec(other).env["SSL_CERT_FILE"] == "/mine.pem"
            await rig.control.machines.stop("web", machine)
            await rig.until(machine, "stopped")
            second = (await rig.control.authorities.rotate("personal")).certificate

            def prepared() -> bool:
                made = rig.host.containers.get(machine)
                return made is not None and made.spec.roots == (second, first)

            await rig.settle(prepared)
            rig.proxy.say("wake", machine=machine, app="web")
            await rig.until(machine, "started")
            assert rig.runtime.spec(machine).roots == (second, first)
            assert rig.runtime.spec(other).roots == (first,)

    run(tmp_path, test)


def test_a_machine_starts_also_without_a_ca(tmp_path: Path) -> None:
    """A lost key file costs TLS, not the service."""

    async def test(rig: AgentRig) -> None:
        async with rig.running():
            await rig.app()
            rig.home.secret_key.unlink()
            machine = await rig.machine()
            await rig.until(machine, "started")
            assert rig.runtime.spec(machine).roots == ()
            assert "SSL_CERT_FILE" not in rig.runtime.spec(machine).env

    run(tmp_path, test)


def test_what_cannot_be_opened_is_not_shown(tmp_path: Path) -> None:
    """A key that was damaged harms nothing but its own certificate."""

    async def test(rig: AgentRig) -> None:
        async with rig.running():
            await served(rig)
            rig.proxy.say("certificate", app="web", audience="personal")
            await rig.proxy.until(lambda: ISSUED in shown(rig))
        stored = rig.store.get(IssuedCertificate, "web/personal")
        assert stored is not None
        rig.store.commit_now(Put(stored.record.model_copy(update={"sealed": "AAAA"})))
        rig.boot()
        async with rig.running():
            assert shown(rig) == {}
            assert "web" in rig.proxy.entities["app"]

    run(tmp_path, test)
