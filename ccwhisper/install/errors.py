"""Why nothing was written."""

from __future__ import annotations


class InstallError(Exception):
    """The folder was left as it was. `code` stays the same from release to release."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
