"""Leases: the exclusive right to change a Machine for a while, held by whoever knows the nonce.

Pure functions of the record and the time. An expired lease counts as none, yet its holder may
take it up again with the same nonce as long as nobody else did.
"""

from __future__ import annotations

from roost.errors import ConflictError, InvalidError, NotFoundError
from roost.model.records import Lease, Machine

DEFAULT_TTL = 30
MAX_TTL = 24 * 3600


def active(machine: Machine, now_ms: int) -> Lease | None:
    """The lease that holds now."""
    lease = machine.lease
    return lease if lease is not None and lease.expires_at > now_ms else None


def require(machine: Machine, nonce: str | None, now_ms: int) -> None:
    """Raises ConflictError when somebody else holds the Machine."""
    lease = active(machine, now_ms)
    if lease is not None and lease.nonce != nonce:
        raise ConflictError(
            f"machine {machine.id} is leased by {lease.owner or 'somebody else'}",
            hint="wait until the lease ends, or send its nonce",
            code="lease_held",
        )


def check_ttl(ttl: int) -> int:
    """Seconds of a lease; 0 is the default. Raises InvalidError."""
    if not 0 <= ttl <= MAX_TTL:
        raise InvalidError(f"a lease of {ttl} s is not possible", hint=f"use 1 to {MAX_TTL}")
    return ttl or DEFAULT_TTL


def taken(machine: Machine, lease: Lease, nonce: str | None, now_ms: int) -> Machine:
    """The Machine with a new lease, or its old one made longer when `nonce` is that one's.

    Raises ConflictError (held by another), NotFoundError (`nonce` is of no lease of it).
    """
    require(machine, nonce, now_ms)
    if nonce is None:
        return machine.model_copy(update={"lease": lease})
    old = machine.lease
    if old is None or old.nonce != nonce:
        raise _not_found(machine)
    longer = old.model_copy(update={"expires_at": lease.expires_at, "version": machine.instance_id})
    return machine.model_copy(update={"lease": longer})


def released(machine: Machine, nonce: str | None, now_ms: int) -> Machine:
    """The Machine without a lease. Raises ConflictError (another's), NotFoundError (none)."""
    require(machine, nonce, now_ms)
    if machine.lease is None or machine.lease.nonce != nonce:
        raise _not_found(machine)
    return machine.model_copy(update={"lease": None})


def current(machine: Machine, now_ms: int) -> Lease:
    """The lease that holds now. Raises NotFoundError (`lease not found`)."""
    lease = active(machine, now_ms)
    if lease is None:
        raise _not_found(machine)
    return lease


def _not_found(machine: Machine) -> NotFoundError:
    return NotFoundError(f"lease not found: machine {machine.id} has none")
