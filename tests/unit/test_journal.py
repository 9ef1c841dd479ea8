"""The journal of a recording: what was written is read again, and what is torn does no harm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ccwhisper.recording import journal

pytestmark = pytest.mark.unit

ID = "7c9e6679-7425-50de-944b-e07fc1f90ae7"
START = journal.Start(
    at=1.7e9, id=ID, node="n1", leg="caller", file=f"{ID}-call.wav", queue="sales", direction="inbound",
    number="+100", name='Bob "\n\u2028', whisper="separate",
)  # fmt: skip
LINES = (
    START,
    journal.Begun(1.7e9, f"{ID}-call.wav"),
    journal.Party(1.7e9, "ana", "Ana", "c1"),
    journal.Coach(1.7e9, "s1", "carla", "Carla", None),
    journal.Gate(1.7e9, "s1", "agent"),
    journal.Pause(1.7e9, True, "ana"),
)


def written(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    found = journal.read(written(tmp_path / f"{ID}.jsonl", *map(journal.encoded, LINES)))
    assert (found.start, found.lines, found.torn, found.over) == (START, LINES, 0, False)
    stop = journal.encoded(journal.Stop(1.7e9, "call_ended"))
    assert journal.read(written(tmp_path / f"{ID}.jsonl", *map(journal.encoded, LINES), stop)).over


TORN = (
    b'{"what":"gate","at":1',
    b'{"what":"later","at":1}\n',
    b"[]\n",
    b'"gate"\n',
    b"\xff\n",
    b'{"what":"stop","at":null,"reason":""}\n',
    b'{"what":"stop","at":"1","reason":""}\n',
    b'{"what":"stop","at":NaN,"reason":""}\n',
    b'{"what":"stop","at":Infinity,"reason":""}\n',
    b'{"what":"stop","at":1e300,"reason":""}\n',
    b'{"what":"stop","at":-1,"reason":""}\n',
    b'{"what":"stop","at":1,"reason":["call_ended"]}\n',
    b'{"what":"coach","at":1,"session":"s1","coach":"c","name":"C","file":5}\n',
    b'{"what":"pause","at":1,"paused":"no","by":""}\n',
    b"[" * 100_000 + b"\n",
)


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_line_is_counted_and_nothing_else(tmp_path: Path, torn: bytes) -> None:
    found = journal.read(written(tmp_path / f"{ID}.jsonl", *map(journal.encoded, LINES), torn))
    assert (found.lines, found.torn) == (LINES, 1)


@pytest.mark.parametrize("lines", [(), LINES[1:], (LINES[1], START)])
def test_without_a_start_it_says_nothing(tmp_path: Path, lines: tuple[journal.Line, ...]) -> None:
    with pytest.raises(journal.JournalBroken):
        journal.read(written(tmp_path / f"{ID}.jsonl", *map(journal.encoded, lines)))


@pytest.mark.parametrize(
    "lines",
    [
        (replace(START, id="../../elsewhere"),),
        (replace(START, id=ID.replace("7", "8")),),
        (replace(START, file="../../elsewhere.wav"),),
        (replace(START, file=f"{ID.replace('7', '8')}-call.wav"),),
        (START, journal.Coach(1.7e9, "s1", "carla", "Carla", f"{ID}-/../x.wav")),
        (START, journal.Coach(1.7e9, "s1", "carla", "Carla", f"{ID.replace('7', '8')}-s1.wav")),
    ],
)
def test_what_names_anothers_files_says_nothing(tmp_path: Path, lines: tuple[journal.Line, ...]) -> None:
    with pytest.raises(journal.JournalBroken):
        journal.read(written(tmp_path / f"{ID}.jsonl", *map(journal.encoded, lines)))


def test_half_a_character_in_a_name_is_written(tmp_path: Path) -> None:
    coach = journal.Coach(1.7e9, "s1", "carla", "Carla \ud800", None)
    found = journal.read(written(tmp_path / f"{ID}.jsonl", journal.encoded(START), journal.encoded(coach)))
    assert found.lines[1] == replace(coach, name="Carla ?")


def test_a_field_of_a_later_version_is_passed_over() -> None:
    assert journal.decoded(b'{"what":"hold","at":1.5,"held":true,"by":"x"}') == journal.Hold(1.5, True)


def test_journals_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "a.json"):
        (tmp_path / name).touch()
    assert [path.name for path in journal.journals(tmp_path)] == ["a.jsonl", "b.jsonl"]
