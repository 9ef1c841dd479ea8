"""What can go wrong between the service and a switch, whose fault it was, and what to do about it.

::

    SwitchError
     ├── ConnectionLost         the link or the switch; reconnect, resync; the command MAY HAVE RUN
     │    └── NotConnected      the link or the switch; reconnect; the command certainly did not run
     ├── CommandTimeout         the switch is slow; the command may still run; do not blindly repeat it
     ├── CommandRefused         the switch said no; the connection is fine; retry only if the cause has gone
     ├── AuthenticationFailed   our configuration (password); do not reconnect at once, tell a person
     └── UnsafeArgument         our caller; nothing was sent; a repeat fails the same way

``ConnectionLost`` is also greenswitch's ``NotConnectedError``, and ``AuthenticationFailed`` also the ``ValueError``
that greenswitch raises, so handlers written for greenswitch keep working.
"""

from __future__ import annotations

from greenswitch.esl import NotConnectedError


class SwitchError(Exception):
    """Base of every error that the Event Socket layer raises on purpose."""


# greenswitch has no types, so its exception is Any to the type checker.
class ConnectionLost(SwitchError, NotConnectedError):  # type: ignore[misc]
    """The connection ended while the command was under way: it may or may not have run. Resync before repeating it."""


class NotConnected(ConnectionLost):
    """There was no connection to send on (never made, refused, or already lost): the command did not run."""


class CommandTimeout(SwitchError):
    """No reply in time. The command may have run, or may run yet; its late reply is dropped, later ones still match."""


class CommandRefused(SwitchError):
    """The switch answered ``-ERR`` or ``-USAGE``. ``reply`` is its text; it can repeat an argument: do not log it."""

    def __init__(self, label: str, reply: str) -> None:
        super().__init__(f"the switch refused {label}")
        self.label = label
        self.reply = reply


class AuthenticationFailed(SwitchError, ValueError):
    """The Event Socket password is wrong. Trying again at once only fills the switch's log."""


class UnsafeArgument(SwitchError, ValueError):
    """A value that could change the meaning of a command. Raised before anything is sent; the value is not repeated."""
