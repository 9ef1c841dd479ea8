"""What was written into a configuration, kept beside it, so that it can be taken back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ccwhisper.install.edit import Edit
from ccwhisper.install.errors import InstallError

NAME: Final = ".ccwhisper-install.json"
_FORMAT: Final = 1


@dataclass(slots=True)
class Manifest:
    """Edits by file, and the digests of new files; both by their path in the configuration."""

    edits: dict[str, list[Edit]] = field(default_factory=dict)
    created: dict[str, str] = field(default_factory=dict)

    def dump(self) -> bytes:
        """As it is kept."""
        edits = {
            path: [{"name": each.name, "at": each.at, "old": each.old, "new": each.new} for each in found]
            for path, found in sorted(self.edits.items())
        }
        whole = {"format": _FORMAT, "edits": edits, "created": dict(sorted(self.created.items()))}
        return (json.dumps(whole, indent=1) + "\n").encode()


def digest(content: bytes) -> str:
    """Of a new file, to see whether somebody has changed it."""
    return hashlib.sha256(content).hexdigest()


def read(conf: Path) -> Manifest | None:
    """What was written; None where nothing was. Raises InstallError."""
    path = conf / NAME
    try:
        whole = json.loads(path.read_bytes())
        if whole["format"] != _FORMAT:
            raise InstallError("manifest_unreadable", f"{path} is of another version")
        edits = {_inside(file): [Edit(**each) for each in found] for file, found in whole["edits"].items()}
        created: Mapping[str, str] = whole["created"]
        return Manifest(edits, {_inside(file): str(value) for file, value in created.items()})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InstallError("manifest_unreadable", f"{path}: {error}") from None


def _inside(file: str) -> str:
    path = Path(file)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{file} is not in the folder")
    return file
