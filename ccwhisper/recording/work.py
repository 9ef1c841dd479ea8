"""`python -m ccwhisper.recording.work`: one piece of work on recordings, in a process of its own. The job comes as JSON
on standard input, what became of it goes as a line of JSON to standard output.

A process, because sound and buckets have no place in the service: what they do would make everybody wait, and a file
that breaks a decoder must break nothing else. It may be killed at any moment: whoever does the same job next finds
either all of what was done or nothing.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import resource
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from ccwhisper.recording import journal as log
from ccwhisper.recording.places import CHECKSUM, Access, Folder, Place, PlaceError, place, verified
from ccwhisper.recording.result import Result, ResultBroken, decoded, encoded

MEMORY: Final = 4 << 30
"""Bytes of addresses: what a broken file may make the libraries ask for."""

FINAL: Final = frozenset({"journal_broken", "track_empty", "track_unreadable"})
"""Codes of what does not become better by waiting."""

NICE: Final = 10

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done. `do` is make (`journal`, `raws`, `archive`, `room`, `wish`), delete (`archive`, `names`),
    fetch (`archive`, `names`: one, `to`) or scan (`raws`). Places are as `places.place` takes them; `room` is a folder
    for what is not finished, used where the archive is a bucket. `wish` is as make.Wish, `access` as places.Access."""

    do: Literal["make", "delete", "fetch", "scan"]
    archive: str = ""
    raws: tuple[str, ...] = ()
    journal: str = ""
    room: str = ""
    names: tuple[str, ...] = ()
    to: str = ""
    wish: Mapping[str, Any] = field(default_factory=dict)
    access: Mapping[str, Any] = field(default_factory=dict)


class Failed(Exception):
    """What could not be done, with a stable code."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


def main() -> None:
    """Exit status 0: done; 1: not done, and the line says why."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    said = json.load(sys.stdin)
    job = Job(**said)
    try:
        outcome = {"ok": True} | done(job)
    except Failed as error:
        outcome = {"ok": False, "code": error.code, "text": str(error), "final": error.code in FINAL}
    sys.stdout.write(json.dumps(outcome) + "\n")
    sys.stdout.flush()
    sys.exit(0 if outcome["ok"] else 1)


def done(job: Job) -> dict[str, Any]:
    """What became of it. Raises Failed."""
    access = Access(**job.access)
    try:
        if job.do == "make":
            return {"result": json.loads(encoded(_made(job, access)))}
        if job.do == "scan":
            return {"files": [[name, at] for each in job.raws for name, at in _raws(place(each, access))]}
        archive = place(job.archive, access)
        if job.do == "fetch":
            if not archive.fetch(job.names[0], Path(job.to)):
                raise Failed("file_missing", f"there is no {job.names[0]} in the archive")
        else:
            for name in job.names:
                archive.remove(name)
    except PlaceError as error:
        raise Failed(error.code, str(error)) from None
    return {}


def _raws(where: Place) -> list[tuple[str, float]]:
    return [(name, at) for name, at in where.files() if name.endswith(".wav") and "/" not in name]


# --- making one --------------------------------------------------------------------------------------------------


def _made(job: Job, access: Access) -> Result:
    path = Path(job.journal)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise Failed("journal_broken", f"{path.name}: {error.strerror}") from None
    try:
        # Whoever holds it is at work on this recording: one that a service has left behind goes on to its end.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _locked(job, access, log.read(path))
    except BlockingIOError:
        raise Failed("busy", f"somebody is at work on {path.stem}") from None
    except log.JournalBroken as error:
        raise Failed(error.code, str(error)) from None
    finally:
        os.close(descriptor)


def _locked(job: Job, access: Access, journal: log.Journal) -> Result:
    archive = Folder(Path(job.archive), own=True) if not job.archive.startswith("s3:") else place(job.archive, access)
    raws = [place(each, access) for each in job.raws]
    start = journal.start
    # The day of its Start, which no later line changes: there it is looked for when it was finished already.
    name = f"{datetime.fromtimestamp(start.at, UTC):%Y/%m/%d}/{start.id}"
    files = _files(journal)
    result = _finished(archive, name)
    if result is None:
        parent = archive.folder if isinstance(archive, Folder) else Path(job.room)
        room = parent / f".{start.id}.part"
        try:
            result = _kept(archive, name, _worked(job, raws, files, room), room)
        finally:
            shutil.rmtree(room, ignore_errors=True)
    for each in raws:  # the journal goes when the index knows the recording
        for file in files:
            each.remove(file)
            each.remove(file + CHECKSUM)
    return result


def _files(journal: log.Journal) -> list[str]:
    """The names of all raw tracks. A journal that says anything else than names is not the service's."""
    names = [journal.start.file] + [line.file for line in journal.lines if isinstance(line, log.Coach) and line.file]
    for name in [*names, f"{journal.start.id}.wav"]:
        if not re.fullmatch(r"[A-Za-z0-9-]{1,120}\.wav", name):
            raise log.JournalBroken("the journal names a file that is no raw track")
    return list(dict.fromkeys(names))


def _finished(archive: Place, name: str) -> Result | None:
    raw = archive.read(name + ".json")
    if raw is None:
        return None
    try:
        return decoded(raw)
    except ResultBroken:
        return None  # it is made anew


def _worked(job: Job, raws: list[Place], files: list[str], room: Path) -> Result:
    import av  # noqa: PLC0415 - most jobs have no need of it, and it takes its time

    from ccwhisper.recording import make  # noqa: PLC0415
    from ccwhisper.recording.raw import RawBroken  # noqa: PLC0415

    try:
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir(mode=0o700, parents=True)
        paths = {}
        for file in files:
            found = [path for each in raws if (path := verified(each, file, room)) is not None]
            paths[file] = next((path for path in found if path.exists()), found[0] if found else room / file)
        return make.make(Path(job.journal), paths, room, make.Wish(**job.wish))
    except (RawBroken, make.NotWhole) as error:
        raise Failed(error.code, str(error)) from None
    except MemoryError:
        raise Failed("no_memory", "there was not enough memory") from None
    except av.FFmpegError as error:
        if error.errno in _FULL:
            raise Failed("disk_full", f"{room.parent}: {error.strerror}") from None
        raise Failed("encoding_failed", str(error)) from None
    except OSError as error:
        code = "disk_full" if error.errno in _FULL else "place_unreachable"
        raise Failed(code, f"{room.parent}: {error.strerror or error}") from None


def _kept(archive: Place, name: str, made: Result, room: Path) -> Result:
    """The result comes last: where it is, all is."""
    assert made.peaks is not None  # noqa: S101 - just written
    result = replace(made, file=f"{name}.mp4", peaks=f"{name}.peaks")
    archive.keep(f"{name}.peaks", room / made.peaks)
    archive.keep(f"{name}.mp4", room / made.file)
    said = room / "result.json"
    try:
        said.write_bytes(encoded(result))
    except OSError as error:
        code = "disk_full" if error.errno in _FULL else "place_unreachable"
        raise PlaceError(code, f"{room.parent}: {error.strerror or error}") from None
    archive.keep(f"{name}.json", said)
    return result


def dumped(job: Job) -> str:
    """A job as it is told."""
    return json.dumps(asdict(job))


if __name__ == "__main__":
    main()
