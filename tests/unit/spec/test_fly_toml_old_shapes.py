"""Shapes of earlier years mean what today's shapes mean, and keep their lines."""

from __future__ import annotations

import pytest

from roost.spec.fly_toml import parse
from roost.spec.problems import ConfigError


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            '[mount]\nsource = "a"\ndestination = "/a"\n',
            '[[mounts]]\nsource = "a"\ndestination = "/a"\n',
        ),
        (
            '[mounts]\nsource = "a"\ndestination = "/a"\n',
            '[[mounts]]\nsource = "a"\ndestination = "/a"\n',
        ),
        ('[metric]\nport = 1\npath = "/m"\n', '[[metrics]]\nport = 1\npath = "/m"\n'),
        ('[metrics]\nport = 1\npath = "/m"\n', '[[metrics]]\nport = 1\npath = "/m"\n'),
        ("[vm]\ncpus = 2\n", "[[vm]]\ncpus = 2\n"),
        ("[[compute]]\ncpus = 2\n", "[[vm]]\ncpus = 2\n"),
        ("[computes]\ncpus = 2\n", "[[vm]]\ncpus = 2\n"),
        (
            "[[vm]]\ncpus = 1\n[[compute]]\ncpus = 2\n",
            "[[vm]]\ncpus = 1\n[[vm]]\ncpus = 2\n",
        ),
        (
            '[[processes]]\nname = "web"\ncommand = "run it"\n[[processes]]\nname = "b"\n',
            '[processes]\nweb = "run it"\nb = ""\n',
        ),
        ('[[env]]\nA = "1"\n[[env]]\nB = 2\n', '[env]\nA = "1"\nB = "2"\n'),
        (
            '[[checks]]\nname = "up"\ntype = "tcp"\nport = 1\n',
            '[checks.up]\ntype = "tcp"\nport = 1\n',
        ),
        (
            '[checks.up]\ntype = "http"\nport = 1\nheaders = [{name = "A", value = "b"}]\n',
            '[checks.up]\ntype = "http"\nport = 1\nheaders = {A = "b"}\n',
        ),
        (
            '[[services]]\n[[services.http_checks]]\nheaders = [{name = "A", value = "b"}]\n',
            '[[services]]\n[[services.http_checks]]\nheaders = {A = "b"}\n',
        ),
        (
            '[[http_service.checks]]\nheaders = [{name = "A", value = "b"}]\n',
            '[[http_service.checks]]\nheaders = {A = "b"}\n',
        ),
        (
            '[[services]]\ninternal_port = "80"\n[[services.ports]]\nport = "8080"\n',
            "[[services]]\ninternal_port = 80\n[[services.ports]]\nport = 8080\n",
        ),
        (
            '[services]\nconcurrency = "20,25"\n[services.ports]\nport = 1\n',
            "[[services]]\n[[services.ports]]\nport = 1\n"
            '[services.concurrency]\ntype = "requests"\nsoft_limit = 20\nhard_limit = 25\n',
        ),
        ('[build]\nbuild_target = "web"\n', '[build]\nbuild-target = "web"\n'),
        ("[experimental]\nkill_timeout = 30\n", "kill_timeout = 30\n[experimental]\n"),
        (
            '[experimental]\nmetrics_port = 1\nmetrics_path = "/m"\n',
            '[experimental]\n[[metrics]]\nport = 1\npath = "/m"\n',
        ),
        (
            '[experimental]\ncmd = "a b"\nentrypoint = "c"\nexec = "d"\n',
            '[experimental]\ncmd = ["a b"]\nentrypoint = ["c"]\nexec = ["d"]\n',
        ),
        (
            "[http_service]\nauto_stop_machines = true\n",
            '[http_service]\nauto_stop_machines = "stop"\n',
        ),
        (
            "[http_service]\nauto_stop_machines = false\n",
            '[http_service]\nauto_stop_machines = "off"\n',
        ),
        ('kill_timeout = ""\n', ""),
        ('kill_signal = "int"\n', 'kill_signal = "SIGINT"\n'),
    ],
)
def test_old_and_new_shape_are_the_same(old: str, new: str) -> None:
    """Both files give equal configurations."""
    assert parse(old).config == parse(new).config


def test_a_problem_in_an_old_shape_keeps_its_line() -> None:
    """The line is that of the user's file, not of the rewritten one."""
    with pytest.raises(ConfigError) as caught:
        parse('[[checks]]\nname = "up"\ntype = "udp"\n[mount]\nsource = "a"\ndestination = "b"\n')
    assert [one.where for one in caught.value.problems] == ["fly.toml:3", "fly.toml:6"]


@pytest.mark.parametrize(
    "text",
    [
        "[[services]]\nconcurrency = 20\n",
        '[[services]]\nconcurrency = "many"\n',
        '[[http_service.concurrency]]\ntype = "requests"\n',
        '[http_service.checks]\npath = "/"\n',
        '[[processes]]\ncommand = "x"\n',
        'services = "x"\n',
        "env = 1\n",
        "checks = 1\n",
        "experimental = []\n",
    ],
)
def test_shapes_that_never_were_are_refused(text: str) -> None:
    """What Fly's client cannot decode is an error with a line, not a guess."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert all(one.where.startswith("fly.toml:") for one in caught.value.problems)
