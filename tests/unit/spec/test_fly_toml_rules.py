"""Rules between keys of fly.toml, problems told together, and files that are no fly.toml."""

from __future__ import annotations

import pytest

from roost.spec.fly_toml import inline_files, parse, recheck
from roost.spec.problems import ConfigError

TWO_GROUPS = 'app = "x"\n[processes]\nweb = "w"\nworker = "k"\n'


def problems(text: str, filename: str = "fly.toml") -> list[str]:
    """The problems of a file, as they are printed."""
    with pytest.raises(ConfigError) as caught:
        parse(text, filename)
    return [str(one) for one in caught.value.problems]


def warnings(text: str) -> list[str]:
    """The warnings of a file without problems."""
    return [str(one) for one in parse(text).warnings]


@pytest.mark.parametrize(
    ("text", "line", "about"),
    [
        (TWO_GROUPS + "[http_service]\ninternal_port = 80\n", 5, 'processes = ["web"]'),
        (TWO_GROUPS + "[[services]]\ninternal_port = 80\nports = [{port = 1}]\n", 5, "must name"),
        (TWO_GROUPS + '[http_service]\nprocesses = ["web", "wrk"]\n', 6, "'wrk' does not exist"),
        ('[processes]\n"a b" = "x"\n', 2, "not a name for a process group"),
        (
            "[http_service.concurrency]\nsoft_limit = 30\nhard_limit = 20\n",
            3,
            "less than `soft_limit` 30",
        ),
        ("[[services]]\n[[services.ports]]\nhandlers = []\n", 2, "no port is given"),
        ("[[services]]\n[[services.ports]]\nstart_port = 5\n", 2, "no port is given"),
        ("[[services]]\n[[services.ports]]\nport = 5\nend_port = 9\n", 4, "given twice"),
        ("[[services]]\n[[services.ports]]\nstart_port = 9\nend_port = 5\n", 4, "exchange"),
        ("[[services]]\n[[services.ports]]\nport = 5\nforce_https = true\n", 4, "`http` handler"),
        (
            "[[services]]\n[[services.ports]]\nport = 5\ntls_options = {}\n",
            4,
            "`tls` or `pg_tls` handler",
        ),
        (
            '[http_service]\ntls_options = {alpn = ["mqtt"]}\n',
            2,
            "`http` handler does not speak",
        ),
        (
            '[[services]]\n[[services.ports]]\nport = 5\nhandlers = ["http", "proxy_proto"]\n',
            4,
            "http, proxy_proto do not go together",
        ),
        (
            '[[services]]\n[[services.ports]]\nport = 5\nproxy_proto_options = {version = "v2"}\n',
            4,
            "`proxy_proto` handler",
        ),
        (
            '[[services]]\nprotocol = "udp"\n[[services.ports]]\nport = 5\n'
            "accept_proxy_proto = true\n",
            5,
            "udp port",
        ),
        (
            '[[services]]\nprotocol = "udp"\n[[services.ports]]\nport = 5\nhandlers = ["tls"]\n',
            5,
            "udp port",
        ),
        (
            "[http_service]\n[[services]]\n[[services.ports]]\nport = 80\n",
            4,
            "tcp port 80 is already used by [http_service]",
        ),
        (
            "[[services]]\n[[services.ports]]\nport = 5\n"
            "[[services.ports]]\nstart_port = 4\nend_port = 6\n",
            5,
            "tcp port 4-6 is already used by services[0]",
        ),
        (
            f"[[services]]\nports = [{', '.join(f'{{port = {one}}}' for one in range(1, 258))}]\n",
            2,
            "a Machine of app would have 257 external ports",
        ),
        ('[checks.up]\ntype = "tcp"\n', 1, "no `port`"),
        (
            '[deploy]\nstrategy = "canary"\n[[mounts]]\nsource = "a"\ndestination = "/a"\n',
            2,
            "does not work for an app with mounts",
        ),
        (
            '[deploy]\nstrategy = "bluegreen"\n[[mounts]]\nsource = "a"\ndestination = "/a"\n',
            2,
            "does not work for an app with mounts",
        ),
        (
            '[[mounts]]\nsource = "a"\ndestination = "/a"\n'
            '[[mounts]]\nsource = "b"\ndestination = "/b"\n',
            4,
            "more than one mount",
        ),
        (
            '[[mounts]]\nsource = "a"\ndestination = "/a"\nauto_extend_size_threshold = 80\n',
            1,
            "auto_extend_size_increment",
        ),
        (
            '[[files]]\nguest_path = "/a"\nlocal_path = "a"\nsecret_name = "A"\n',
            4,
            "more than one source",
        ),
        (
            '[[statics]]\nguest_path = "/a"\nurl_prefix = "/a"\n'
            '[[statics]]\nguest_path = "/b"\nurl_prefix = "/a"\n',
            6,
            "used twice",
        ),
        ('[build]\nimage = "roost/host"\n', 2, '[processes] app = "your command"'),
        ('[build]\nimage = "roost/host"\n[processes]\nweb = ""\n', 4, "web = "),
        ('[env]\nFLY_REGION = "x"\n', 2, "FLY_"),
        ('[env]\n"A=B" = "x"\n', 2, "not a name"),
        ("internal_port = 80\n", 1, "belongs in [[services]] or [http_service]"),
        ("[http]\na = 1\n", 1, "did you mean `http_service`?"),
    ],
)
def test_a_broken_rule_is_told_with_its_line(text: str, line: int, about: str) -> None:
    """One problem, on the line that breaks the rule, with what to do."""
    found = problems(text)
    assert len(found) == 1
    assert found[0].startswith(f"fly.toml:{line}: ")
    assert about in found[0]


@pytest.mark.parametrize(
    "text",
    [
        TWO_GROUPS + '[http_service]\nprocesses = ["web"]\n'
        '[[services]]\nprocesses = ["worker"]\nports = [{port = 80}]\n',
        "[[services]]\nports = [{port = 53}]\n"
        '[[services]]\nprotocol = "udp"\nports = [{port = 53}]\n',
        "[[services]]\nports = [{start_port = 1, end_port = 65535}]\n",
        "[http_service.concurrency]\nhard_limit = 5\n",
        "[http_service.concurrency]\nsoft_limit = 5\nhard_limit = 5\n",
        '[http_service]\n[checks.up]\ntype = "tcp"\n',
        '[build]\nimage = "roost/host"\n[experimental]\ncmd = ["/bin/true"]\n',
        "",
    ],
)
def test_what_is_allowed(text: str) -> None:
    """The same port in other groups or protocols, equal limits, a check's default port."""
    parse(text)


def test_all_problems_are_told_together_in_order() -> None:
    """Wrong values, unknown keys and broken rules of one file come in one error, by line."""
    found = problems(
        'app = "UP"\n'
        "[http_service]\n"
        "intrnal_port = 80\n"
        'auto_stop_machines = "doze"\n'
        "[http_service.concurrency]\n"
        "soft_limit = 9\n"
        "hard_limit = 8\n"
        "[env]\n"
        'FLY_A = "1"\n'
    )
    assert [one.split(": ")[0] for one in found] == [f"fly.toml:{line}" for line in (1, 3, 4, 7, 9)]


def test_what_follows_from_a_wrong_value_is_not_told() -> None:
    """A rule about a value that could not be read says nothing of its own."""
    found = problems("[http_service.concurrency]\nsoft_limit = -1\nhard_limit = 8\n")
    assert len(found) == 1
    found = problems('[processes]\nweb = "\'"\n[http_service]\nprocesses = ["web"]\n')
    assert len(found) == 1


@pytest.mark.parametrize(
    ("text", "where", "about"),
    [
        ("app = \n", "fly.toml:1", "not valid TOML"),
        ('app = "x"\n\n[env\n', "fly.toml:3", "not valid TOML"),
        ("a = 1\na = 2\n", "fly.toml:2", "not valid TOML"),
        ("x = " + "[" * 5000 + "]" * 5000, "fly.toml", "nested too deeply"),
        ("#" * (1 << 20) + "#", "fly.toml", "longer than"),
    ],
)
def test_syntax_errors(text: str, where: str, about: str) -> None:
    """A file that is no TOML names the line; one without measure is refused."""
    found = problems(text)
    assert found[0].startswith(f"{where}: ")
    assert about in found[0]


def test_json_is_read_with_paths_for_lines() -> None:
    """fly.json has the same keys; a problem names the path of its value."""
    assert parse('{"app": "x", "kill_timeout": 5}', "fly.json").config.app == "x"
    found = problems('{"services": [{"ports": [{"port": 0}]}], "ap": 1}', "fly.json")
    assert found[0].startswith("fly.json: ap: ")
    assert found[1].startswith("fly.json: services[0].ports[0].port: ")
    assert problems('{"a":\n oops}', "fly.json")[0].startswith("fly.json:2: is not valid JSON")
    assert "JSON object" in problems("[]", "fly.json")[0]


def test_yaml_is_refused_with_what_to_do() -> None:
    """fly.yaml says which files are read."""
    assert "fly.toml" in problems("app: x", "fly.yaml")[0]


@pytest.mark.parametrize(
    ("text", "line", "about"),
    [
        ("[[services]]\ninternal_port = 1\n", 1, "no [[services.ports]]"),
        ('[build]\nimage = "a"\nbuilder = "b"\n', 3, "more than one source"),
        (
            '[deploy]\nstrategy = "immediate"\nmax_unavailable = 2\n',
            3,
            "no effect with strategy 'immediate'",
        ),
        ('[[http_service.checks]]\ninterval = "90s"\n', 2, "counts as 1m0s"),
        ('[[http_service.checks]]\ngrace_period = "100ms"\n', 2, "counts as 1s"),
    ],
)
def test_what_is_noteworthy_is_warned_about(text: str, line: int, about: str) -> None:
    """Values without effect, and values that count as others, are told with their line."""
    found = warnings(text)
    assert any(one.startswith(f"fly.toml:{line}: ") and about in one for one in found)


def test_a_grace_period_of_nothing_is_fine() -> None:
    """0 stays 0: only what is between 0 and 1 s is raised."""
    assert not any(
        "counts as" in one for one in warnings('[[http_service.checks]]\ngrace_period = "0s"\n')
    )


def test_a_redirect_to_nowhere_is_warned_of() -> None:
    """`force_https` without a port that has `tls` and `http` leads nowhere."""
    text = "[[services]]\n[[services.ports]]\nport = 80\n"
    text += 'handlers = ["http"]\nforce_https = true\n'
    (only,) = parse(text).warnings
    assert "which no port of the app answers" in only.message


def test_the_server_checks_the_rules_again() -> None:
    """A configuration that came as JSON is refused with paths, and its warnings come back."""
    good = parse("swap_size_mb = 256\n[http_service]\n").config
    assert any("swap_size_mb" in one for one in recheck(good))
    bad = good.model_copy(update={"processes": {"web": "x"}})
    with pytest.raises(ConfigError) as caught:
        recheck(bad)
    assert "configuration: http_service: a service must name" in str(caught.value)


def test_local_files_are_put_inside() -> None:
    """`local_path` becomes the base64 text that the reader gives; other sources stay."""
    config = parse(
        '[[files]]\nguest_path = "/a"\nlocal_path = "a.conf"\n'
        '[[files]]\nguest_path = "/b"\nsecret_name = "B"\n'
    ).config
    done = inline_files(config, lambda name: f"content of {name}")
    assert [(one.local_path, one.raw_value) for one in done.files] == [
        (None, "content of a.conf"),
        (None, None),
    ]
    assert done.files[1] == config.files[1]
