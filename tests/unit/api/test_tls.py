"""The API over TLS, with real certificates, sockets and clients on loopback."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect as ws_connect

from roost.api.server import serve
from roost.api.tls import Certificate, TlsFiles, load
from roost.clock import SystemClock
from roost.errors import InvalidError
from tests.support.api_bench import ApiBench, with_api
from tests.support.certificates import DAY, Authority, make_authority, pem

CLOCK = SystemClock()


def with_tls(
    root: Path,
    body: Callable[[ApiBench, Certificate, int], Awaitable[None]],
    files: TlsFiles,
) -> None:
    """Run a test's body with the API served over TLS on a loopback port."""

    async def main(api: ApiBench) -> None:
        certificate = Certificate(files, CLOCK)
        listener = socket.create_server(("127.0.0.1", 0))
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(
                serve(
                    api.app,
                    unix_socket=api.bench.home.api_socket,
                    tcp=[listener],
                    tls=certificate.context,
                    ready=ready,
                )
            )
            await ready.wait()
            await body(api, certificate, listener.getsockname()[1])
            serving.cancel()

    with_api(root / "home", main)


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.file))


async def common_name(authority: Authority, port: int, server: str | None = "127.0.0.1") -> str:
    """Whose certificate is shown; without `server` no name is sent."""
    context = trusting(authority)
    context.check_hostname = server is not None
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=server or ""
    )
    shown = writer.get_extra_info("peercert")
    writer.close()
    await writer.wait_closed()
    return str(dict(pair[0] for pair in shown["subject"])["commonName"])


def test_https_and_wss(tmp_path: Path) -> None:
    """The API answers over TLS to those who trust its authority; calls without a token are refused
    there too; shells attach over it; the Unix socket stays as it is.
    """
    authority = make_authority(tmp_path)

    async def body(api: ApiBench, _: Certificate, port: int) -> None:
        header = {"Authorization": f"Bearer {api.token}"}
        async with httpx.AsyncClient(verify=trusting(authority)) as http:
            url = f"https://127.0.0.1:{port}/v1/apps"
            assert (await http.get(url, headers=header)).status_code == 200
            assert (await http.get(url)).status_code == 401
        async with httpx.AsyncClient() as stranger:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.get(url, headers=header)
        transport = httpx.AsyncHTTPTransport(uds=str(api.bench.home.api_socket))
        async with httpx.AsyncClient(transport=transport) as local:
            assert (await local.get("http://roost/v1/apps", headers=header)).status_code == 200
        machine = (await api.machine())["id"]
        uri = f"wss://127.0.0.1:{port}/v1/apps/web/machines/{machine}/attach?cmd=[%22sh%22]"
        async with ws_connect(
            uri, additional_headers=header, ssl=trusting(authority), proxy=None
        ) as client:
            assert await client.recv() == b"\x01ready\n"

    with_tls(tmp_path, body, authority.issue())


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(tmp_path: Path) -> None:
    """curl with the authority's file gets an answer, with TLS 1.2 and newer; TLS 1.1 and plain
    HTTP get none.
    """
    authority = make_authority(tmp_path)

    async def curl(*words: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            "curl",
            "-sS",
            "-m",
            "20",
            "--noproxy",
            "*",
            "--cacert",
            str(authority.file),
            *words,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def body(_: ApiBench, __: Certificate, port: int) -> None:
        url = f"https://localhost:{port}/v1/health"
        for flags in ((), ("--tls-max", "1.2"), ("--tlsv1.3",)):
            assert await curl(*flags, url) == (0, '{"ok":true}')
        weak = ("--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0")
        for words in ((*weak, url), (url.replace("https", "http"),)):
            code, output = await curl(*words)
            assert code != 0
            assert output == ""

    with_tls(tmp_path, body, authority.issue())


def test_a_renewed_certificate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """New files serve new connections without a restart, with a name or without; broken ones are
    logged once and the old certificate stays; open connections go on.
    """
    authority = make_authority(tmp_path)
    files = authority.issue("site")

    async def body(api: ApiBench, certificate: Certificate, port: int) -> None:
        header = {"Authorization": f"Bearer {api.token}"}
        async with httpx.AsyncClient(verify=trusting(authority), headers=header) as http:
            url = f"https://127.0.0.1:{port}/v1/apps"
            assert (await http.get(url)).status_code == 200
            assert await common_name(authority, port) == "site"
            assert not certificate.look()
            renewed = authority.issue("renewed")
            renewed.key.replace(files.key)
            with caplog.at_level(logging.ERROR, logger="roost.api"):
                assert not certificate.look()  # Only half of it is there.
                assert not certificate.look()
            assert len(caplog.records) == 1
            assert await common_name(authority, port) == "site"
            renewed.certificate.replace(files.certificate)
            assert certificate.look()
            for server in ("127.0.0.1", "localhost", None):
                assert await common_name(authority, port, server) == "renewed"
            files.key.unlink()
            assert not certificate.look()
            assert await common_name(authority, port) == "renewed"
            assert (await http.get(url)).status_code == 200

    with_tls(tmp_path, body, files)


def test_it_is_looked_at_now_and_then(tmp_path: Path) -> None:
    """A change of the files is found by a look every half minute."""
    authority = make_authority(tmp_path)
    files = authority.issue("site")
    waits: list[float] = []

    class Clock(SystemClock):
        async def sleep(self, seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 2:
                raise asyncio.CancelledError

    async def main() -> None:
        certificate = Certificate(files, Clock())
        first = certificate._newest
        authority.issue("site")
        with pytest.raises(asyncio.CancelledError):
            await certificate.keep_fresh()
        assert certificate._newest is not first

    asyncio.run(main())
    assert waits == [30.0, 30.0]


def broken(tmp_path: Path, how: str) -> TlsFiles:
    """Files that cannot be used."""
    authority, now = make_authority(tmp_path), datetime.now(UTC)
    files = authority.issue()
    match how:
        case "expired":
            return authority.issue(begins=now - 2 * DAY, ends=now - DAY)
        case "early":
            return authority.issue(begins=now + DAY, ends=now + 2 * DAY)
        case "missing certificate":
            files.certificate.unlink()
        case "missing key":
            files.key.unlink()
        case "not a certificate":
            files.certificate.write_text("hello")
        case "not a key":
            files.key.write_text("hello")
        case "other key":
            return TlsFiles(files.certificate, authority.issue("other").key)
        case "encrypted key":
            files.key.write_bytes(pem(authority.key, b"secret"))
        case _:
            return TlsFiles(tmp_path, files.key)
    return files


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("expired", r"site\.pem expired on \d{4}-"),
        ("early", r"site\.pem is valid from \d{4}-"),
        ("missing certificate", r"site\.pem cannot be read: No such file"),
        ("missing key", r"site\.key cannot be read: No such file"),
        ("not a certificate", r"site\.pem has no certificate in PEM form"),
        ("not a key", r"site\.key has no private key in PEM form"),
        ("other key", r"other\.key does not belong to certificate .*site\.pem"),
        ("encrypted key", r"site\.key is encrypted"),
        ("a folder", r"cannot be read: Is a directory"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, how: str, words: str) -> None:
    """Each is refused before anything listens, with the file and what to do."""
    with pytest.raises(InvalidError, match=words) as refused:
        load(broken(tmp_path, how), CLOCK.now_ms())
    assert refused.value.hint
