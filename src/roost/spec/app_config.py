"""The contents of a fly.toml: one model for each section.

This is what the CLI sends to the server. Its JSON form has fly.toml's own keys in their newest
shape, and reading that JSON gives an equal value again. Rules that concern several keys are in
`roost.spec.rules`; here is only what one value may be.
Source: docs/reference/configuration and the validation of Fly's own client.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from roost.spec.fields import (
    AbsolutePath,
    AppNameText,
    Base64Text,
    CheckInterval,
    CheckName,
    CheckTimeout,
    Command,
    EnvName,
    EnvValue,
    ExtendIncrement,
    ExtendLimit,
    GroupName,
    Memory,
    MountPoint,
    Part,
    PortNumber,
    PositiveDuration,
    Preset,
    Region,
    Signal,
    StopTimeout,
    VolumeSize,
)
from roost.spec.services import HttpCheck, HttpService, MachineCheck, Service

HOST_IMAGE = "roost/host"
"""The built-in image: the host's own files, read-only, with the app's folder at /app."""

DEFAULT_GROUP = "app"


class Compose(Part):
    """`[build.compose]`."""

    file: str | None = None


class Build(Part):
    """`[build]`: where the image comes from."""

    image: str | None = None
    builder: str | None = None
    buildpacks: tuple[str, ...] = ()
    args: dict[str, str] = Field(default_factory=dict)
    dockerfile: str | None = None
    ignorefile: str | None = None
    build_target: str | None = Field(default=None, alias="build-target")
    builtin: str | None = None
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    compose: Compose | None = None
    compression: Literal["gzip", "zstd"] | None = None
    compression_level: int | None = Field(default=None, ge=0, le=9)


class VmSize(Part):
    """Size of a Machine; `size` is a preset that the other keys override."""

    size: Preset | None = None
    memory: Memory = None
    cpus: int | None = Field(default=None, ge=1, le=64)
    cpu_kind: Literal["shared", "performance"] | None = None
    memory_mb: int | None = Field(default=None, ge=16)
    max_memory_mb: int | None = Field(default=None, ge=16)
    gpus: int | None = Field(default=None, ge=0)
    gpu_kind: str | None = None
    kernel_args: tuple[str, ...] = ()
    host_dedication_id: str | None = None
    persist_rootfs: Literal["never", "restart", "always"] | None = None


class Vm(VmSize):
    """One entry of `[[vm]]`; without `processes` it is for all groups not named elsewhere."""

    processes: tuple[str, ...] = ()


class Deploy(Part):
    """`[deploy]`."""

    strategy: Literal["rolling", "canary", "immediate", "bluegreen"] | None = None
    max_unavailable: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    wait_timeout: PositiveDuration = None
    release_command: Command | None = None
    release_command_timeout: PositiveDuration = None
    release_command_vm: VmSize | None = None
    seed_command: Command | None = None


class Check(HttpCheck):
    """One `[checks.NAME]`."""

    type: Literal["tcp", "http"]
    port: PortNumber | None = None
    interval: CheckInterval = None
    timeout: CheckTimeout = None
    processes: tuple[str, ...] = ()


class Mount(Part):
    """One `[[mounts]]`: a volume and where it appears. Sizes are GB."""

    source: str = Field(min_length=1)
    destination: MountPoint
    processes: tuple[str, ...] = ()
    initial_size: VolumeSize = None
    snapshot_retention: int | None = Field(default=None, ge=1, le=60)
    scheduled_snapshots: bool | None = None
    auto_extend_size_threshold: int | None = Field(default=None, ge=50, le=99)
    auto_extend_size_increment: ExtendIncrement = None
    auto_extend_size_limit: ExtendLimit = None


class Restart(Part):
    """One `[[restart]]`; without `processes` it is for all groups."""

    policy: Literal["always", "never", "on-failure"]
    retries: int | None = Field(default=None, ge=0)
    processes: tuple[str, ...] = ()


class File(Part):
    """One `[[files]]`: at most one source; without any the file is removed."""

    guest_path: AbsolutePath
    local_path: str | None = None
    secret_name: str | None = None
    raw_value: Base64Text | None = None
    processes: tuple[str, ...] = ()


class Static(Part):
    """One `[[statics]]`."""

    guest_path: str
    url_prefix: AbsolutePath
    tigris_bucket: str | None = None
    index_document: str | None = None


class Metrics(Part):
    """One `[[metrics]]`: where the app's own metrics are."""

    port: PortNumber
    path: AbsolutePath
    https: bool = False
    processes: tuple[str, ...] = ()


class AttachedSecrets(Part):
    """`[experimental.attached.secrets]`."""

    export: dict[str, str] = Field(default_factory=dict)


class Attached(Part):
    """`[experimental.attached]`."""

    secrets: AttachedSecrets | None = None


class Experimental(Part):
    """`[experimental]`; `cmd` is used by groups without a command of their own."""

    cmd: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    exec: tuple[str, ...] = ()
    machine_config: str | None = None
    attached: Attached | None = None
    auto_rollback: bool | None = None
    enable_consul: bool | None = None
    enable_etcd: bool | None = None
    lazy_load_images: bool | None = None


class AppConfig(Part):
    """A whole fly.toml. Durations are nanoseconds here and Go strings in JSON."""

    app: AppNameText | None = None
    primary_region: Region | None = None
    kill_signal: Signal | None = None
    kill_timeout: StopTimeout = None
    swap_size_mb: int | None = Field(default=None, ge=0)
    console_command: Command | None = None
    host_dedication_id: str | None = None
    machine_config: str | None = None
    container: str | None = None
    build: Build | None = None
    deploy: Deploy | None = None
    env: dict[EnvName, EnvValue] = Field(default_factory=dict)
    processes: dict[GroupName, Command] = Field(default_factory=dict)
    http_service: HttpService | None = None
    services: tuple[Service, ...] = ()
    checks: dict[CheckName, Check] = Field(default_factory=dict)
    machine_checks: tuple[MachineCheck, ...] = ()
    mounts: tuple[Mount, ...] = ()
    vm: tuple[Vm, ...] = ()
    restart: tuple[Restart, ...] = ()
    files: tuple[File, ...] = ()
    statics: tuple[Static, ...] = ()
    metrics: tuple[Metrics, ...] = ()
    experimental: Experimental | None = None

    def show(self) -> dict[str, JsonValue]:
        """The keys that were set, JSON-ready: what `config show` prints."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
