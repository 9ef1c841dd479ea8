"""What can be wrong with a request, as stable codes.

CoachingError
├── Invalid        the request makes no sense as it stands (whoever sent it must change it)
├── Forbidden      the token does not permit it
├── NotFound       no such call, session, agent or device
├── Conflict       it makes sense, but not now (state forbids it; may be asked again later)
└── Unavailable    the switch cannot be reached or refused (asking again later may help)

A request that raises one of these has changed nothing and sent nothing to the switch.
"""

from __future__ import annotations


class CoachingError(Exception):
    """A refused request. `code` is stable and for programs, `message` is for people, `retry` says whether the very
    same request can succeed later without anybody changing it."""

    retry: bool = False
    field: str | None = None
    """The key of the request that is wrong, where it is one, as `beep.parts.0.1`."""

    def __init__(self, code: str, message: str, retry: bool | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        if retry is not None:
            self.retry = retry


class Invalid(CoachingError):
    """The request itself is wrong."""


class Forbidden(CoachingError):
    """The token does not permit it."""


class NotFound(CoachingError):
    """What the request names does not exist, or is not visible to who asks."""


class Conflict(CoachingError):
    """The state of call or session does not allow it now."""

    retry = True


class Unavailable(CoachingError):
    """The switch cannot be reached, or did not do as told."""

    retry = True
