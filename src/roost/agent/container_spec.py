"""A Machine's record, its image and its secrets turned into what the runtime makes. Pure.

Order of the environment: what names the roots to trust < image < config < secrets < FLY_*
(docs/machines/runtime-environment).
Command: `exec`, else entrypoint or ENTRYPOINT followed by cmd or CMD.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

from roost.errors import InvalidError
from roost.images.base import HOST_IMAGE, Image
from roost.model.addresses import DNS_EVERYWHERE, machine_ipv4
from roost.model.machine_config import File, MachineConfig
from roost.model.records import Machine
from roost.runtime import trust
from roost.runtime.base import ContainerSpec, Mounted

MIB = 1 << 20
_HOST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def container_spec(
    machine: Machine,
    image: Image,
    secrets: Mapping[str, str],
    *,
    netns: Path,
    log_file: Path,
    source_key: bytes = b"",
    roots: tuple[str, ...] = (),
) -> ContainerSpec:
    """Build the spec; `source_key` is the public key that checks `Fly-Src`, `roots` (PEM) are the
    organization's.

    Raises InvalidError: no command, or a file that is not base64.
    """
    config = machine.config
    host = image.reference == HOST_IMAGE
    return ContainerSpec(
        id=machine.id,
        image=image,
        args=_args(config, image),
        env=trust.environment(roots) | _environment(machine, image, secrets),
        user=image.config.user,
        working_dir="/app" if host and config.app_dir else image.config.working_dir or "/",
        hostname=machine.id,
        netns=netns,
        log_file=log_file,
        cpus=float(config.guest.cpus),
        memory=config.guest.memory_mb * MIB,
        tty=config.init.tty,
        files=(
            _hosts(machine),
            _resolv(),
            *_source_key(source_key),
            *(_file(f, secrets) for f in config.files),
        ),
        app_dir=Path(config.app_dir) if host and config.app_dir else None,
        roots=roots,
        labels={"instance": machine.instance_id, "app": machine.app},
    )


def _args(config: MachineConfig, image: Image) -> tuple[str, ...]:
    init = config.init
    if init.exec:
        return init.exec
    entrypoint = init.entrypoint if init.entrypoint is not None else image.config.entrypoint
    default = image.config.cmd if init.entrypoint is None else ()
    args = (*entrypoint, *(init.cmd if init.cmd is not None else default))
    if not args:
        raise InvalidError(
            f"image {image.reference} names no command and the Machine gives none",
            hint="set init.cmd, or a command under [processes] in fly.toml",
        )
    return args


def _environment(machine: Machine, image: Image, secrets: Mapping[str, str]) -> dict[str, str]:
    config = machine.config
    return {
        "PATH": _HOST_PATH,
        **dict(image.config.env),
        **config.env,
        **secrets,
        "FLY_APP_NAME": machine.app,
        "FLY_MACHINE_ID": machine.id,
        "FLY_ALLOC_ID": machine.id,
        "FLY_REGION": machine.region,
        "FLY_IMAGE_REF": config.image,
        "FLY_MACHINE_VERSION": machine.instance_id,
        "FLY_PRIVATE_IP": str(machine.private_ip),
        "FLY_PROCESS_GROUP": config.metadata.get("fly_process_group", "app"),
        "FLY_VM_MEMORY_MB": str(config.guest.memory_mb),
    }


def _hosts(machine: Machine) -> Mounted:
    text = (
        "127.0.0.1 localhost localhost.localdomain\n"
        "::1 localhost ip6-localhost ip6-loopback\n"
        f"{machine.private_ip} fly-local-6pn {machine.id}\n"
        # What the proxy sends datagrams to; a program that answers from here is understood.
        f"{machine_ipv4(machine.ipv4)} fly-global-services\n"
    )
    return Mounted(path="/etc/hosts", content=text.encode())


def _resolv() -> Mounted:
    return Mounted(path="/etc/resolv.conf", content=f"nameserver {DNS_EVERYWHERE}\n".encode())


def _source_key(public: bytes) -> tuple[Mounted, ...]:
    """Where Fly's Machines have it, in hexadecimal."""
    if not public:
        return ()
    return (Mounted(path="/.fly/fly-src.pub", content=public.hex().encode() + b"\n"),)


def _file(file: File, secrets: Mapping[str, str]) -> Mounted:
    if file.secret_name is not None and file.secret_name not in secrets:
        raise InvalidError(
            f"file {file.guest_path} needs the secret {file.secret_name}, which is not set",
            hint=f"roost secrets set {file.secret_name}=<base64>",
        )
    encoded = secrets[file.secret_name] if file.secret_name is not None else file.raw_value or ""
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidError(f"file {file.guest_path} is not valid base64") from None
    return Mounted(path=file.guest_path, content=content, mode=file.mode)
