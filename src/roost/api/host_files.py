"""What of the host's own files a caller may show to Machines.

A folder at /app, or an image that is a file of the host, is read with Roost's rights. So it is for
operators and for who is on this host as Roost's own user (the Unix socket is closed to others);
anybody else may only keep what the app's Machines show already.
"""

from __future__ import annotations

from roost.api.auth import SOCKET
from roost.api.caller import Caller
from roost.api.parts import Parts
from roost.errors import ForbiddenError
from roost.images.reference import is_file
from roost.plan.authority import HOST, Right


def may_show_anew(caller: Caller) -> bool:
    """Whether the caller may show any of the host's files to Machines."""
    return caller.source == SOCKET or caller.may(Right.OPERATE, HOST)


def must_show(
    parts: Parts, caller: Caller, app: str, *, image: str | None, folder: str | None
) -> None:
    """Raises ForbiddenError when the caller may not show this image or folder, NotFoundError
    (app).
    """
    if may_show_anew(caller):
        return
    named = {text for text in (folder, image if image and is_file(image) else None) if text}
    if not named:
        return
    configs = [machine.config for machine in parts.control.machines.list(app)]
    shown = {config.app_dir for config in configs} | {config.image for config in configs}
    for text in sorted(named - shown):
        raise ForbiddenError(
            f"{text!r} is a file or folder of this host, which is shown to Machines only for an "
            "operator, or when asked by Roost's Unix socket",
            hint="deploy on the host itself, or use an image from a registry",
        )
