"""What can go wrong, by what the caller can do about it.

Every error that reaches a user is one of these classes. The message is one sentence that says
what happened and where; `hint`, when set, says what to do next. `code` is the machine-readable
`status` word of the API's error body. Programming mistakes stay Python's own exceptions.
"""

from __future__ import annotations


class RoostError(Exception):
    """Root of all errors that carry a sentence for the user.

    `http_status` is what the API answers (never 502/503: Fly's clients retry those blindly).
    """

    http_status = 500
    default_code = "internal"

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.default_code

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidError(RoostError):
    """The request can never work as it is: correct it."""

    http_status = 400
    default_code = "invalid_argument"


class DeniedError(RoostError):
    """No token, or one that is not valid."""

    http_status = 401
    default_code = "unauthorized"


class ForbiddenError(RoostError):
    """A valid token without the right; the message names what is needed and what the token is."""

    http_status = 403
    default_code = "forbidden"


class NotFoundError(RoostError):
    """The named thing does not exist (or may not be seen)."""

    http_status = 404
    default_code = "not_found"


class DeadlineError(RoostError):
    """It did not happen in time; the message says what was not ready."""

    http_status = 408
    default_code = "deadline_exceeded"


class ConflictError(RoostError):
    """Somebody else changed or holds the thing: look again, then retry."""

    http_status = 409
    default_code = "conflict"


class PreconditionError(RoostError):
    """The thing is not in a state in which this is possible."""

    http_status = 412
    default_code = "failed_precondition"


class UnavailableError(RoostError):
    """Something that Roost needs (a program, a registry, the daemon) is missing or failed."""

    http_status = 500
    default_code = "unavailable"
