"""Secrets of this installation, each in a file that only the service reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def secret_in(path: Path, make: Callable[[], str | bytes]) -> bytes:
    """What the file holds; the first time, what `make` makes. The file is there whole or not at all: a disk that is
    full leaves no secret of nothing, and one that was left empty is none. Raises OSError."""
    try:
        if found := path.read_bytes():
            return found
    except FileNotFoundError:
        pass
    made = make()
    fresh = made.encode() if isinstance(made, str) else made
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(fresh)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return fresh
