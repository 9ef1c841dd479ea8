"""The queue of recordings over real files and the worker's real processes: what lies there is made, what cannot be made
is listed with the reason."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from uuid import UUID

import pytest

from ccwhisper.coaching.errors import Conflict, NotFound
from ccwhisper.recording import journal as log
from ccwhisper.recording import process
from ccwhisper.recording.index import Person
from ccwhisper.recording.result import decoded
from tests.e2e.backlog import Scene, until
from tests.unit.tapes import ID, Tape, killed

pytestmark = pytest.mark.e2e


def test_a_recording_that_is_over_is_made_and_its_raw_tracks_go(scene: Scene) -> None:
    scene.tape().write()
    scene.open()
    until(lambda: ID in scene.index.ready)
    until(lambda: not scene.left())
    result = scene.index.ready[ID]
    assert scene.states()[-1] == ("working", None)
    assert scene.index.people[ID] == (Person("1001", "Ada"),)
    assert result.file == f"2026/11/21/{ID}.mp4"
    assert (scene.archive / result.file).stat().st_size == result.size
    assert decoded((scene.archive / result.file).with_suffix(".json").read_bytes()) == result
    assert (scene.archive / str(result.peaks)).exists()
    assert scene.litter() == []


def test_a_recording_that_goes_on_is_left_alone(scene: Scene) -> None:
    scene.goes_on = True
    tape = scene.tape()
    tape.write(over=False)
    backlog = scene.open()
    until(lambda: scene.states() == [("recording", None)])
    with pytest.raises(Conflict) as refused:
        backlog.discard(ID)
    assert refused.value.code == "recording_busy"
    scene.goes_on = None  # its switch is away: nobody knows
    until(lambda: scene.states()[-1] == ("recording", "node_unavailable"))
    assert tape.call.exists()
    scene.goes_on = False  # it is back, and the call is not
    until(lambda: ID in scene.index.ready)


def test_what_a_service_left_is_made_by_the_next(scene: Scene) -> None:
    names = [str(UUID(int=number)) for number in range(3)]
    for name in names:
        scene.tape(name).write()
    scene.open(workers=2)
    until(lambda: set(scene.index.ready) == set(names))
    until(lambda: not scene.left())


def test_a_missing_track_is_listed_and_tried_again(scene: Scene) -> None:
    tape = scene.tape()
    content = tape.call.read_bytes()
    tape.call.unlink()
    tape.write()
    scene.open()
    until(lambda: ("failed", "track_missing") in scene.states())
    assert scene.left()
    tape.call.write_bytes(content)
    until(lambda: ID in scene.index.ready)


def test_a_folder_that_vanished_is_listed_and_tried_again(scene: Scene) -> None:
    scene.tape().write()
    away = scene.raws.with_name("away")
    scene.raws.rename(away)
    scene.open()
    until(lambda: ("failed", "place_unreachable") in scene.states())
    away.rename(scene.raws)
    until(lambda: ID in scene.index.ready)


def test_an_archive_that_cannot_be_written_costs_nothing(scene: Scene) -> None:
    scene.tape().write()
    scene.archive.rmdir()  # a disk that is not mounted
    scene.open()
    until(lambda: ("failed", "place_unreachable") in scene.states())
    assert len(scene.left()) == 3
    assert not scene.archive.exists()
    scene.archive.mkdir()
    until(lambda: ID in scene.index.ready)


@pytest.mark.parametrize("room", [300, 5000, 15_000])
def test_a_full_disk_is_reported_and_nothing_is_deleted(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """The system refuses the worker files of more bytes than these: their header, their sound, and what is copied to
    put the index in front."""
    scene.tape().write()
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))"
    script = f"{limited}; from ccwhisper.recording import work; work.main()"
    with monkeypatch.context() as full:
        full.setattr(process, "_COMMAND", (sys.executable, "-c", script))
        scene.open()
        until(lambda: ("failed", "disk_full") in scene.states())
    assert ID not in scene.index.ready
    assert len(scene.left()) == 3
    until(lambda: ID in scene.index.ready and not scene.left())
    assert scene.litter() == []


def refuse(tape: Tape) -> None:
    tape.call.unlink()
    tape.say(log.Problem(0.0, "not_recorded", "Cannot open", tape.call.name))
    tape.lines = [line for line in tape.lines if not isinstance(line, log.Begun)]
    tape.journal.write_bytes(b"".join(log.encoded(line) for line in tape.lines))


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda tape: tape.call.write_bytes(b""), "track_empty"),
        (lambda tape: tape.call.write_bytes(b"no sound" * 10), "track_unreadable"),
        (lambda tape: tape.journal.write_bytes(b"nothing\n"), "journal_broken"),
        (
            lambda tape: tape.journal.write_bytes(tape.journal.read_bytes().replace(b"-call.wav", b"/../x")),
            "journal_broken",
        ),
        (refuse, "not_recorded"),
    ],
)
def test_what_can_never_be_made_is_listed_until_somebody_says_so(
    scene: Scene, spoil: Callable[[Tape], object], code: str
) -> None:
    tape = scene.tape()
    tape.write()
    spoil(tape)
    backlog = scene.open()
    until(lambda: ("failed", code) in scene.states())
    assert scene.index.starts[ID] is not None
    count = len(scene.states())
    other = str(UUID(int=1))
    scene.tape(other).write()
    backlog.wake()
    until(lambda: other in scene.index.ready)
    assert len(scene.states()) == count
    backlog.retry(ID)
    until(lambda: len(scene.states()) > count)
    until(lambda: scene.states()[-1] == ("failed", code))
    backlog.discard(ID)
    assert scene.left() == []
    with pytest.raises(NotFound):
        backlog.retry(ID)


def test_a_track_that_is_still_written_is_waited_for(scene: Scene) -> None:
    tape = scene.tape()
    killed(tape.call)
    tape.write()
    scene.open()
    until(lambda: ("failed", "track_open") in scene.states())
    long_ago = time.time() - 3600
    os.utime(tape.call, (long_ago, long_ago))
    until(lambda: ID in scene.index.ready)
    assert [each.code for each in scene.index.ready[ID].problems] == ["track_unfinished"]


def test_an_index_that_is_away_holds_up_no_work(scene: Scene) -> None:
    scene.index.away = True
    scene.tape().write()
    scene.open()
    until(lambda: list(scene.archive.rglob("*.json")))
    until(lambda: scene.left() == [f"{ID}.jsonl"])
    scene.index.away = False
    until(lambda: ID in scene.index.ready)
    until(lambda: not scene.left())


def test_one_that_was_deleted_meanwhile_is_gone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene.index, "keep", lambda _result: False)
    scene.tape().write()
    scene.open()
    until(lambda: scene.erased == [ID])
    until(lambda: not scene.left())
