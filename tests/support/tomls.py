"""fly.toml files of the tests' apps, all with real programs on the host image."""

from __future__ import annotations

SERVER = "python3 -m http.server 8080 --bind 0.0.0.0 --directory /app"
"""The HTTP app: Python's own server."""


def http_app(
    name: str,
    *,
    command: str = SERVER,
    stop: str = "off",
    after: str = "1s",
    port: int = 8080,
    more: str = "",
) -> str:
    """An [http_service] app; `more` is appended."""
    return f"""
app = "{name}"

[build]
  image = "roost/host"

[processes]
  app = '''{command}'''

[http_service]
  internal_port = {port}
  auto_stop_machines = "{stop}"
  auto_stop_after = "{after}"
  processes = ["app"]
{more}
"""


def tcp_app(name: str, command: str, port: int, *, stop: str = "off", after: str = "1s") -> str:
    """A raw TCP app on one port."""
    return f"""
app = "{name}"

[build]
  image = "roost/host"

[processes]
  app = '''{command}'''

[[services]]
  internal_port = {port}
  auto_stop_machines = "{stop}"
  auto_stop_after = "{after}"
  processes = ["app"]

  [[services.ports]]
    port = {port}
"""


REDIS = "redis-server --bind 0.0.0.0 --port 6379 --protected-mode no --save ''"
