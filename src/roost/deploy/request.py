"""What a client asks for when it deploys: the body of `POST /v1/apps/{app}/deploys`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from roost.spec import durations
from roost.spec.app_config import AppConfig
from roost.spec.fields import Duration, EnvName, EnvValue, PositiveDuration


class DeployRequest(BaseModel):
    """A configuration and how to bring it out. What is None comes from `config.deploy`.

    `app_dir` is the absolute path of fly.toml's folder on this host (image roost/host shows it at
    /app). `update_only` makes no new Machines and destroys none. `detach` skips the smoke check
    and the health checks, `skip_health_checks` only these.
    Durations are Go strings, or seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: AppConfig
    image: str | None = Field(default=None, min_length=1, max_length=1024)
    strategy: Literal["rolling", "canary", "immediate", "bluegreen"] | None = None
    ha: bool = True
    flycast: bool = False
    no_public_ips: bool = False
    app_dir: str | None = None
    env: dict[EnvName, EnvValue] = Field(default_factory=dict)
    update_only: bool = False
    detach: bool = False
    max_unavailable: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_concurrent: int = Field(default=8, ge=1, le=64)
    wait_timeout: PositiveDuration = None
    smoke_checks: bool = True
    skip_health_checks: bool = False
    smoke_window: Duration = 2 * durations.SECOND
    """How long a new Machine is watched after it started (Fly: 10 s)."""
    lease_timeout: PositiveDuration = 13 * durations.SECOND
    description: str = Field(default="", max_length=1000)
