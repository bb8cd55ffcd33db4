"""Real programs as apps on the host image, and how each is asked something by its name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

_POSTGRES_BIN = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), Path())

POSTGRES_START = f"""#!/bin/sh
# PostgreSQL does not run as root, and a cold start begins with an empty disk.
set -e
export PATH={_POSTGRES_BIN}:$PATH
mkdir -m 700 /tmp/pg && chown nobody /tmp/pg
exec setpriv --reuid=65534 --clear-groups --inh-caps=-all sh -c '
  initdb --no-sync -A trust -U postgres -D /tmp/pg/data >/dev/null
  echo "host all all all trust" >>/tmp/pg/data/pg_hba.conf
  exec postgres -D /tmp/pg/data -h 0.0.0.0 -k /tmp/pg -c fsync=off -c max_connections=40'
"""

NGINX_CONF = """
daemon off; pid /tmp/nginx.pid; worker_processes 1; error_log stderr; user root;
events { worker_connections 64; }
http {
  access_log off; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
  uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
  server {
    listen 0.0.0.0:8080; listen 0.0.0.0:8082 http2;
    location / { return 200 "nginx answers\\n"; }
  }
}
"""

HAPROXY_CONF = """
global
  log stdout format raw daemon info
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen pg
  bind 0.0.0.0:6432 accept-proxy
  log global
  log-format "from %ci to %fi:%fp"
  server pg 127.0.0.1:5432
"""

DEPTHS = {"stop": "stopped", "suspend": "suspended"}
"""The two depths of sleep: the command, and the state that it leads to."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program as an app."""

    name: str
    command: str
    internal_port: int
    ports: str
    """The `[[services.ports]]` tables."""
    ask: tuple[str, ...]
    """What a Machine runs to use it."""
    answer: str
    """What the answer holds."""
    files: dict[str, str] = field(default_factory=dict[str, str])
    service: str = ""
    """More keys of the service."""

    def toml(self) -> str:
        """The app's fly.toml. It falls asleep when it is told to."""
        return f'''
app = "{self.name}"
[build]
  image = "roost/host"
[processes]
  app = """{self.command}"""
[[services]]
  internal_port = {self.internal_port}
  auto_stop_machines = "off"
  processes = ["app"]
  {self.service}
{self.ports}
'''


def port(number: int, *handlers: str, more: str = "") -> str:
    """A `[[services.ports]]` table."""
    listed = ", ".join(f'"{one}"' for one in handlers)
    return f"  [[services.ports]]\n    port = {number}\n    handlers = [{listed}]\n    {more}\n"


POSTGRES = Program(
    name="pg",
    command="sh /app/start.sh",
    internal_port=5432,
    ports=port(5432),
    # PostgreSQL accepts connections a moment before it answers queries; until then it says so.
    ask=(
        "sh",
        "-c",
        "until pg_isready -q -t 30 -h pg.flycast; do :; done; "
        "psql -h pg.flycast -U postgres -Atc 'select 6 * 7' postgres",
    ),
    answer="42\n",
    files={"start_sh": POSTGRES_START},
)
REDIS = Program(
    name="cache",
    command="redis-server --bind 0.0.0.0 --port 6379 --protected-mode no --save ''",
    internal_port=6379,
    ports=port(6379),
    ask=("redis-cli", "-h", "cache.flycast", "ping"),
    answer="PONG\n",
)
NGINX = Program(
    name="web",
    command="nginx -e stderr -c /app/nginx.conf",
    internal_port=8080,
    ports=port(80, "http"),
    ask=("curl", "-sS", "-m", "30", "http://web.flycast/"),
    answer="nginx answers\n",
    files={"nginx_conf": NGINX_CONF},
)

POSTGRES_TLS = replace(
    POSTGRES,
    name="pgs",
    ports=port(5432, "pg_tls"),
    ask=(
        "sh",
        "-c",
        "until pg_isready -q -t 30 -h pgs.flycast; do :; done; "
        "PGSSLROOTCERT=$SSL_CERT_FILE PGSSLMODE=verify-full "
        "psql -h pgs.flycast -U postgres -Atc 'select 6 * 7' postgres",
    ),
)
POSTGRES_PROXIED = replace(
    POSTGRES,
    name="pgp",
    command="sh /app/both.sh",
    internal_port=6432,
    ports=port(5432, "proxy_proto", more='proxy_proto_options = { version = "v2" }'),
    ask=(
        "sh",
        "-c",
        "until pg_isready -q -t 30 -h pgp.flycast; do :; done; "
        "psql -h pgp.flycast -U postgres -Atc 'select 6 * 7' postgres",
    ),
    files={
        "start_sh": POSTGRES_START,
        "both_sh": "sh /app/start.sh & exec haproxy -db -f /app/haproxy.cfg\n",
        "haproxy_cfg": HAPROXY_CONF,
    },
)
MQTT = Program(
    name="mq",
    command="mosquitto -c /app/mosquitto.conf",
    internal_port=1883,
    ports=port(8883, "tls", more='tls_options = { alpn = ["mqtt"] }'),
    ask=(
        "sh",
        "-c",
        'set -- -h mq.flycast -p 8883 --cafile "$SSL_CERT_FILE" --tls-alpn mqtt -t topic; '
        'mosquitto_pub "$@" -q 1 -r -m "mqtt answers" && mosquitto_sub "$@" -C 1 -W 30',
    ),
    answer="mqtt answers\n",
    files={"mosquitto_conf": "listener 1883 0.0.0.0\nallow_anonymous true\nuser root\n"},
)
DNS = Program(
    name="names",
    command="dnsmasq --keep-in-foreground --port=5300 --no-resolv --no-hosts --user=root "
    "--pid-file= --listen-address=0.0.0.0 --bind-interfaces --address=/known.example/192.0.2.55",
    internal_port=5300,
    ports=port(5300),
    ask=("dig", "@names.flycast", "-p", "5300", "+short", "+timeout=30", "known.example", "A"),
    answer="192.0.2.55\n",
    service='protocol = "udp"',
)

WEBSOCKET = Program(
    name="ws",
    command="python3 /app/echoes.py",
    internal_port=8080,
    ports=port(80, "http"),
    ask=(),
    answer="",
    files={"echoes_py": (Path(__file__).parents[2] / "benches/echoes.py").read_text()},
)
ALL = (POSTGRES, POSTGRES_TLS, POSTGRES_PROXIED, REDIS, NGINX, MQTT, DNS)
