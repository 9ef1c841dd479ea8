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
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ccwhisper.coaching.recorded import recording_of
from ccwhisper.recording import journal as log
from ccwhisper.recording.job import Job
from ccwhisper.recording.places import CHECKSUM, Access, Bucket, Place, PlaceError, place, verified
from ccwhisper.recording.result import Result, ResultBroken, decoded, encoded

MEMORY: Final = 4 << 30
"""Bytes of addresses: what a broken file may make the libraries ask for."""

FINAL: Final = frozenset({"journal_broken", "not_recorded", "track_empty", "track_unreadable"})
"""Codes of what does not become better by waiting."""

STILL: Final = 30.0
"""Seconds for which a track without an end must not have changed: the switch writes a buffer every four seconds."""

AWAITED: Final = 3600.0
"""Seconds from the end of a call for which it is not made without a coach's track that may still be on its way."""

NICE: Final = 10

_PARTS: Final = (".mp4", ".peaks", ".json")
"""What the archive has of a recording. The result comes last: where it is, all is."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Failed(Exception):
    """What could not be done, with a stable code."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


def main() -> None:
    """Exit status 0: done; 1: not done, and the line says why."""
    os.nice(NICE)
    os.umask(0o027)  # a recording is nobody's who is not in the service's group
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _bounded()
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


def _bounded() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY or most > MEMORY:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, most))


def done(job: Job) -> dict[str, Any]:
    """What became of it. Raises Failed."""
    access = Access(**job.access)
    try:
        if job.do == "make":
            result, left = _made(job, access)
            return {"result": json.loads(encoded(result)), "left": left}
        if job.do == "scan":
            return _scanned(job, access)
        with _alone(job):
            _removed(job, access)
    except PlaceError as error:
        raise Failed(error.code, str(error)) from None
    return {}


def _places(job: Job, access: Access) -> list[Place]:
    return [place(each, access) for each in job.raws]


def _raws(where: Place) -> list[tuple[str, float]]:
    return [(name, at) for name, at in where.files() if recording_of(name)]


def _scanned(job: Job, access: Access) -> dict[str, Any]:
    """A place that is away hides nothing of the others."""
    files: list[tuple[str, float]] = []
    away = []
    for each in _places(job, access):
        try:
            files += _raws(each)
        except PlaceError as error:
            away.append(str(error))
    return {"files": files, "away": away}


def _removed(job: Job, access: Access) -> None:
    """All that can be; then the first place that cannot is told."""
    trouble: list[PlaceError] = []
    for each in _places(job, access):
        try:
            for name, _ in each.files():
                if recording_of(name.removesuffix(CHECKSUM)) == job.recording:
                    each.remove(name)
        except PlaceError as error:
            trouble.append(error)
    if job.do == "erase":
        _erased(job, place(job.archive, access))
    if trouble:
        raise trouble[0]


def _erased(job: Job, archive: Place) -> None:
    """Also what somebody has left who died before he was done. Without a journal nobody knows its day."""
    identifier = job.recording
    try:
        name = _name(log.read(Path(job.journal)).start)
        names = [name + part for part in _PARTS]
    except (OSError, log.JournalBroken):
        begins = f"{identifier}."
        names = [name for name, _ in archive.files() if Path(name).name.lstrip(".").startswith(begins)]
    for name in names:
        archive.remove(name)
    shutil.rmtree(_room(job, archive, identifier), ignore_errors=True)


def _name(start: log.Start) -> str:
    """The day of its Start, which no later line changes: there it is looked for when it was finished already."""
    return f"{datetime.fromtimestamp(start.at, UTC):%Y/%m/%d}/{start.id}"


def _room(job: Job, archive: Place, recording: str) -> Path:
    """Where the archive is a folder, in it: what is made there is only renamed."""
    return archive.path(f".{recording}.part") or Path(job.room, f".{recording}.part")


@contextlib.contextmanager
def _alone(job: Job) -> Iterator[None]:
    """Whoever holds the journal is at work on this recording: one that a service has left behind goes on to its end."""
    try:
        descriptor = os.open(job.journal, os.O_RDONLY)
    except OSError as error:
        if job.do != "make":  # nobody works on what has no journal
            yield
            return
        raise Failed("journal_broken", f"{Path(job.journal).name}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Failed("busy", f"somebody is at work on {Path(job.journal).stem}") from None
    finally:
        os.close(descriptor)


# --- making one --------------------------------------------------------------------------------------------------


def _made(job: Job, access: Access) -> tuple[Result, list[str]]:
    """And what could not be deleted then."""
    with _alone(job):
        try:
            return _locked(job, access, log.read(Path(job.journal)))
        except log.JournalBroken as error:
            raise Failed(error.code, str(error)) from None


def _locked(job: Job, access: Access, journal: log.Journal) -> tuple[Result, list[str]]:
    archive = place(job.archive, access)
    raws = _places(job, access)
    name = _name(journal.start)
    room = _room(job, archive, journal.start.id)
    try:
        result = _finished(archive, name) or _kept(archive, name, _worked(job, journal, raws, room), room)
    finally:
        shutil.rmtree(room, ignore_errors=True)
    left = []
    files = [file for file in _files(journal) if file not in result.left_out]
    for each in raws:  # the journal goes when the index knows the recording
        try:
            for file in files:
                each.remove(file)
                each.remove(file + CHECKSUM)
        except PlaceError as error:
            left.append(str(error))
    return result, left


def _files(journal: log.Journal) -> list[str]:
    """The names of all raw tracks, that of the call first."""
    names = [journal.start.file] + [line.file for line in journal.lines if isinstance(line, log.Coach) and line.file]
    return list(dict.fromkeys(names))


def _finished(archive: Place, name: str) -> Result | None:
    """What was made already. One that tells of other files, or whose file is not there, is made anew."""
    raw = archive.read(name + ".json")
    if raw is None:
        return None
    try:
        found = decoded(raw)
    except ResultBroken:
        return None
    path = archive.path(f"{name}.mp4")
    whole = path is None or (path.is_file() and path.stat().st_size == found.size)
    return found if whole and (found.file, found.peaks) == (f"{name}.mp4", f"{name}.peaks") else None


def _worked(job: Job, journal: log.Journal, raws: list[Place], room: Path) -> Result:
    import av  # noqa: PLC0415 - most jobs have no need of it, and it takes its time

    from ccwhisper.recording import make  # noqa: PLC0415
    from ccwhisper.recording.raw import RawBroken  # noqa: PLC0415

    try:
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir(mode=0o700, parents=True)
        paths = _found(job, journal, raws, room)
        _closed(paths)
        return make.make(Path(job.journal), paths, room, make.Wish(**job.wish))
    except (RawBroken, make.NotWhole) as error:
        why = _refused(journal).get(journal.start.file) if error.code == "track_missing" else None
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


def _found(job: Job, journal: log.Journal, raws: list[Place], room: Path) -> dict[str, Path]:
    """Where each raw track is. A place that is away matters to the recordings alone that may have something there."""
    paths, refused = {}, _refused(journal)
    for file in _files(journal):
        paths[file] = room / file
        away = None
        for each in raws:
            try:
                path = verified(each, file, room)
            except PlaceError as error:
                if error.code != "place_unreachable":
                    raise
                away = error
                continue
            if path is not None and path.exists():
                paths[file] = path
                break
        else:
            if file in refused:
                continue
            if away:
                raise away
            if file != journal.start.file and _awaited(job, journal, raws, file):
                raise Failed("track_missing", f"the raw track {file} has not come yet")
    return paths


def _awaited(job: Job, journal: log.Journal, raws: list[Place], file: str) -> bool:
    """Whether a coach's track may still come: the call's is often sent before it."""
    begun = any(isinstance(line, log.Begun) and line.file == file for line in journal.lines)
    elsewhere = any(isinstance(each, Bucket) for each in raws)
    return (begun or elsewhere) and time.time() - Path(job.journal).stat().st_mtime < AWAITED


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


def _refused(journal: log.Journal) -> dict[str, str]:
    """Of which files the switch has said that it does not write them, and why."""
    return {
        line.file: f"the switch did not record: {line.text}"
        for line in journal.lines
        if isinstance(line, log.Problem) and line.code == "not_recorded" and line.file
    }


def _kept(archive: Place, name: str, made: Result, room: Path) -> Result:
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
