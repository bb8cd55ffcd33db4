"""Whether a deploy gives the app a private address: exactly one, and never a public one. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPlan:
    """`allocate` one address; `settle` the wish remembered by a launch; say `warning`."""

    allocate: bool = False
    settle: bool = False
    warning: str | None = None


def plan_address(
    *,
    has_services: bool,
    has_address: bool,
    asked: bool,
    remembered: bool,
    no_public_ips: bool,
) -> AddressPlan:
    """`asked`: --flycast of this deploy. `remembered`: of a launch without a deploy.

    An address that exists, on whatever network, satisfies both.
    """
    wanted = asked or remembered
    if has_address:
        return AddressPlan(settle=remembered)
    if wanted and has_services:
        return AddressPlan(allocate=True, settle=remembered)
    if wanted:
        return AddressPlan(
            warning="no private address was allocated, because the app has no services; add "
            "[http_service] or [[services]]"
        )
    if has_services and not no_public_ips:
        return AddressPlan(
            warning="no private address: pass --flycast or run `roost ips allocate-v6 --private`"
        )
    return AddressPlan()
