"""`python -m ccwhisper.recording.work`: one piece of work on recordings, in a process of its own. The job comes as JSON
on standard input, what became of it goes as a line of JSON to standard output.

A process, because sound and buckets have no place in the service: what they do would make everybody wait, and a file
that breaks a decoder must break nothing else. It may be killed at any moment: whoever does the same job next finds
either all of what was done or nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ccwhisper.coaching.recorded import recording_of
from ccwhisper.recording import journal as log
from ccwhisper.recording.job import Job
from ccwhisper.recording.places import CHECKSUM, Access, Place, PlaceError, place, verified
from ccwhisper.recording.result import Result, ResultBroken, decoded, encoded

MEMORY: Final = 4 << 30
"""Bytes of addresses: what a broken file may make the libraries ask for."""

FINAL: Final = frozenset({"journal_broken", "not_recorded", "track_empty", "track_unreadable"})
"""Codes of what does not become better by waiting."""

STILL: Final = 30.0
"""Seconds for which a track without an end must not have changed: the switch writes a buffer every four seconds."""

NICE: Final = 10

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    with contextlib.suppress(BrokenPipeError):  # the service that has asked is gone; the next one finds what was done
        sys.stdout.write(json.dumps(outcome) + "\n")
        sys.stdout.flush()
    sys.exit(0 if outcome["ok"] else 1)


def done(job: Job) -> dict[str, Any]:
    """What became of it. Raises Failed."""
    access = Access(**job.access)
    try:
        if job.do == "make":
            return {"result": json.loads(encoded(_made(job, access)))}
        found = [(each, name, at) for each in _places(job, access) for name, at in _raws(each)]
        if job.do == "scan":
            return {"files": [[name, at] for _, name, at in found]}
        for each, name, _ in found:
            if recording_of(name) == job.recording:
                each.remove(name)
                each.remove(name + CHECKSUM)
    except PlaceError as error:
        raise Failed(error.code, str(error)) from None
    return {}


def _places(job: Job, access: Access) -> list[Place]:
    return [place(each, access) for each in job.raws]


def _raws(where: Place) -> list[tuple[str, float]]:
    return [(name, at) for name, at in where.files() if recording_of(name)]


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
    archive = place(job.archive, access)
    raws = _places(job, access)
    start = journal.start
    # The day of its Start, which no later line changes: there it is looked for when it was finished already.
    name = f"{datetime.fromtimestamp(start.at, UTC):%Y/%m/%d}/{start.id}"
    files = _files(journal)
    # Where the archive is a folder, in it: what is made there is only renamed.
    room = archive.path(f".{start.id}.part") or Path(job.room, f".{start.id}.part")
    try:
        result = _finished(archive, name) or _kept(archive, name, _worked(job, raws, files, room), room)
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
    for name in names:
        if not recording_of(name):
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
            paths[file] = next((path for path in found if path.exists()), room / file)
        _closed(paths)
        return make.make(Path(job.journal), paths, room, make.Wish(**job.wish))
    except (RawBroken, make.NotWhole) as error:
        why = _refused(Path(job.journal)) if error.code == "track_missing" else None
        raise Failed("not_recorded" if why else error.code, why or str(error)) from None
    except MemoryError:
        raise Failed("no_memory", "there was not enough memory") from None
    except av.FFmpegError as error:
        if error.errno in _FULL:
            raise Failed("disk_full", f"{room.parent}: {error.strerror}") from None
        raise Failed("encoding_failed", str(error)) from None
    except OSError as error:
        code = "disk_full" if error.errno in _FULL else "place_unreachable"
        raise Failed(code, f"{room.parent}: {error.strerror or error}") from None


def _closed(paths: Mapping[str, Path]) -> None:
    """Nothing is made of what a switch still writes, though its journal says that it is over."""
    from ccwhisper.recording.raw import Raw, RawBroken  # noqa: PLC0415

    for path in paths.values():
        try:
            with Raw(path) as raw:
                if not raw.closed and time.time() - path.stat().st_mtime < STILL:
                    raise Failed("track_open", f"{path.name} is still written")
        except (RawBroken, OSError):
            continue  # whoever reads it says so


def _refused(path: Path) -> str | None:
    """Why there is no call track, if the switch has said it."""
    journal = log.read(path)
    for line in journal.lines:
        if isinstance(line, log.Problem) and line.code == "not_recorded" and line.file == journal.start.file:
            return f"the switch did not record: {line.text}"
    return None


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


if __name__ == "__main__":
    main()
