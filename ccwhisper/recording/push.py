"""Sends the raw tracks of a switch to where the service finds them: from the switch's folder into a bucket, or a folder
that is shared. Run beside the switch, where nothing else of the product need be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ccwhisper.coaching.recorded import recording_of
from ccwhisper.recording.places import CHECKSUM, Folder, Place, PlaceError, digest
from ccwhisper.recording.raw import Raw, RawBroken

STILL: Final = 120.0
"""Seconds for which a track that the switch has not finished must not have changed: then it never will. It writes a
buffer every four seconds, silence too."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A track, and why it was not sent: None, it was."""

    name: str
    problem: str | None = None


def push(folder: Path, target: Place, still: float = STILL) -> Iterator[Sent]:
    """Send what is finished, one after the other, and delete it here when the target gives back the same. What is
    still written is left for the next time. Raises PlaceError where the folder cannot be read; what cannot be sent is
    told, and stays."""
    if isinstance(target, Folder) and _same(folder, target.folder):  # it would be deleted where it has just come to
        raise PlaceError("place_unreachable", f"{folder} is the folder that is to be sent from")
    for name, _ in sorted(Folder(folder).files(), key=lambda each: each[1]):
        path = folder / name
        if recording_of(name) is None or not _finished(path, still):
            continue
        try:
            _send(path, target)
        except PlaceError as error:
            yield Sent(name, str(error))
        else:
            yield Sent(name)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _send(path: Path, target: Place) -> None:
    said = digest(path)
    name = path.name
    if isinstance(target, Folder):
        target.copy(name, path)
        if digest(target.folder / name) != said:
            raise PlaceError("checksum_wrong", f"{target.folder} gives back something else for {name}")
    else:
        target.keep(name, path)
    with TemporaryDirectory(prefix="ccwhisper-") as room:
        note = Path(room, "checksum")  # the last thing: where it is, the track is whole
        note.write_text(said + "\n")
        target.keep(name + CHECKSUM, note)
    Folder(path.parent).remove(name)


def _finished(path: Path, still: float) -> bool:
    try:
        with Raw(path) as raw:
            if raw.closed:
                return True
    except RawBroken as error:
        if error.code == "track_missing":
            return False
    try:
        return time.time() - path.stat().st_mtime >= still
    except OSError:
        return False
