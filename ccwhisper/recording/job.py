"""What a worker's process is asked. Who asks loads nothing that the worker needs for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done. `do` is make (a file of a journal and its raw tracks), discard (the raw tracks of
    `recording`), erase (these, and what the archive has of it), or scan (which raw tracks there are). Places are as
    `places.place` takes them; `room` is a folder for what is not finished, used where the archive is a bucket. `wish`
    is as make.Wish, `access` as places.Access. `journal` is the path of the recording's; what is discarded or erased
    may have none."""

    do: Literal["make", "discard", "erase", "scan"]
    raws: tuple[str, ...]
    access: Mapping[str, Any]
    archive: str = ""
    journal: str = ""
    recording: str = ""
    room: str = ""
    wish: Mapping[str, Any] = field(default_factory=dict)

    def dumped(self) -> bytes:
        """As the process is told it."""
        return json.dumps(asdict(self)).encode()
