"""The journal of a recording: what was written is read again, and what is torn does no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccwhisper.recording import journal

pytestmark = pytest.mark.unit

START = journal.Start(
    at=1.7e9, id="r1", node="n1", leg="caller", file="r1-call.wav", queue="sales", direction="inbound",
    number="+100", name='Bob "\n\u2028', whisper="separate",
)  # fmt: skip
LINES = (
    START,
    journal.Begun(1.7e9, "r1-call.wav"),
    journal.Party(1.7e9, "ana", "Ana", "c1"),
    journal.Coach(1.7e9, "s1", "carla", "Carla", None),
    journal.Gate(1.7e9, "s1", "agent"),
    journal.Pause(1.7e9, True, "ana"),
)


def written(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    found = journal.read(written(tmp_path / "r1.jsonl", *map(journal.encoded, LINES)))
    assert (found.start, found.lines, found.torn, found.over) == (START, LINES, 0, False)
    stop = journal.encoded(journal.Stop(1.7e9, "call_ended"))
    assert journal.read(written(tmp_path / "r1.jsonl", *map(journal.encoded, LINES), stop)).over


TORN = (
    b'{"what":"gate","at":1',
    b'{"what":"later","at":1}\n',
    b"[]\n",
    b'"gate"\n',
    b"\xff\n",
    b'{"what":"stop","at":null,"reason":""}\n',
)


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_line_is_counted_and_nothing_else(tmp_path: Path, torn: bytes) -> None:
    found = journal.read(written(tmp_path / "r1.jsonl", *map(journal.encoded, LINES), torn))
    assert (found.lines, found.torn) == (LINES, 1)


@pytest.mark.parametrize("lines", [(), LINES[1:], (LINES[1], START)])
def test_without_a_start_it_says_nothing(tmp_path: Path, lines: tuple[journal.Line, ...]) -> None:
    with pytest.raises(journal.JournalBroken):
        journal.read(written(tmp_path / "r1.jsonl", *map(journal.encoded, lines)))


def test_a_field_of_a_later_version_is_passed_over() -> None:
    assert journal.decoded(b'{"what":"hold","at":1.5,"held":true,"by":"x"}') == journal.Hold(1.5, True)


def test_journals_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "a.json"):
        (tmp_path / name).touch()
    assert [path.name for path in journal.journals(tmp_path)] == ["a.jsonl", "b.jsonl"]
