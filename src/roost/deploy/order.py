"""A deploy's request after all checks, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

from roost.deploy.pin import Pin
from roost.deploy.request import DeployRequest
from roost.plan.rollout import DEFAULT_MAX_UNAVAILABLE, Settings, Strategy
from roost.spec import durations
from roost.spec.app_config import AppConfig
from roost.spec.app_config import Deploy as DeploySection

DEFAULT_WAIT = 5 * durations.MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One deploy. Its section of fly.toml is `section`; times in seconds."""

    pin: Pin
    request: DeployRequest
    config: AppConfig
    section: DeploySection
    image: str
    region: str
    app_dir: str | None
    user: str

    @property
    def app(self) -> str:
        """The app's name."""
        return self.pin.app.name

    @property
    def strategy(self) -> Strategy:
        """`immediate`, or `rolling` for all others."""
        asked = self.request.strategy or self.section.strategy
        return Strategy.IMMEDIATE if asked == "immediate" else Strategy.ROLLING

    @property
    def settings(self) -> Settings:
        """What the plan of the rollout is made from."""
        return Settings(
            strategy=self.strategy,
            max_unavailable=self.request.max_unavailable
            or self.section.max_unavailable
            or DEFAULT_MAX_UNAVAILABLE,
            max_concurrent=self.request.max_concurrent,
            ha=self.request.ha,
            update_only=self.request.update_only,
        )

    @property
    def wait_timeout(self) -> float:
        """How long each Machine may take to come up, in seconds."""
        wait = self.request.wait_timeout or self.section.wait_timeout or DEFAULT_WAIT
        return wait / durations.SECOND

    @property
    def waits_for_health(self) -> bool:
        """Whether a Machine has to pass its health checks."""
        return not (self.request.detach or self.request.skip_health_checks)

    @property
    def smoke_window(self) -> float:
        """How long a Machine is watched after its start, in seconds."""
        if not self.request.smoke_checks or self.request.detach:
            return 0.0
        return (self.request.smoke_window or 0) / durations.SECOND
