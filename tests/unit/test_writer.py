"""Rows on their way into a database that comes and goes. Each test is over a real file and a real thread; the database
is a list that may refuse."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ccwhisper.coaching.trail import Row
from ccwhisper.store import writer
from ccwhisper.store.spill import Spill
from ccwhisper.store.writer import Writer

pytestmark = pytest.mark.unit

PATIENCE = 10.0
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
ROW = Row(
    "i", "e", 0, NOW, NOW, "mode", None, "grace", "G \u2028 ü", ("p", "q"), (), "s", "1001", None, "fs1", "a\nb", "o"
)  # fmt: skip


def rows(*numbers: int) -> list[Row]:
    return [replace(ROW, seq=number, switch_at=NOW if number % 2 else None) for number in numbers]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Base:
    """A database and a writer."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "waiting.jsonl"
        self.rows: list[Row] = []
        self.away = False
        self.gate = threading.Event()  # closed, it makes the database hang
        self.gate.set()
        self.tries = 0
        self.writer = self.another()

    def another(self, **options: Any) -> Writer:
        self.writer = Writer(self._insert, Spill(self.path), pauses=(0.01, 0.02), **options)
        return self.writer

    def _insert(self, given: Sequence[Row]) -> None:
        self.tries += 1
        assert self.gate.wait(PATIENCE)
        if self.away:
            raise OSError("the server\nhas gone")
        self.rows += [row for row in given if row not in self.rows]

    def put(self, *numbers: int) -> None:
        for row in rows(*numbers):
            self.writer.put(row)

    def until(self, *numbers: int) -> None:
        until(lambda: len(self.rows) >= len(numbers))
        assert [row.seq for row in self.rows] == list(numbers)


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Base]:
    made = Base(tmp_path)
    yield made
    made.gate.set()
    made.writer.close()


def test_rows_are_written_in_their_order(base: Base) -> None:
    base.writer.start()
    base.put(*range(50))
    base.until(*range(50))
    until(lambda: base.writer.health().waiting == 0)
    assert not base.writer.health().away
    assert not base.path.exists(), "no file where none is needed"


def test_rows_wait_for_a_database_that_is_away(base: Base, caplog: pytest.LogCaptureFixture) -> None:
    base.writer.start()
    base.put(0)
    base.until(0)
    base.away = True
    base.put(1, 2)
    until(lambda: base.path.exists() and len(base.path.read_bytes().splitlines()) == 2)
    base.put(3)
    until(lambda: len(base.path.read_bytes().splitlines()) == 3)
    health = base.writer.health()
    assert (health.away, health.lost) == (True, 0)
    until(lambda: base.writer.health().waiting == 3)
    assert base.path.stat().st_mode & 0o777 == 0o600
    tries = base.tries
    until(lambda: base.tries > tries + 2)
    assert len(caplog.messages) == 1, "once is enough"
    assert "the server" in caplog.text
    base.away = False
    base.until(0, 1, 2, 3)
    until(lambda: not base.writer.health().away)
    assert base.writer.health().waiting == 0
    assert base.path.read_bytes() == b""
    assert "3 that had waited are written" in caplog.messages[-1]
    base.put(4)
    base.until(0, 1, 2, 3, 4)
    assert base.rows == rows(0, 1, 2, 3, 4), "what was in the file is what was put there"


def test_rows_survive_a_restart_while_the_database_is_away(base: Base) -> None:
    base.away = True
    base.writer.start()
    base.put(*range(5))
    base.writer.close()
    assert base.rows == []
    base.another().start()
    assert base.writer.health().waiting >= 5
    base.put(5)
    base.away = False
    base.until(*range(6))


def test_what_a_crash_left_half_written_is_no_row(base: Base, caplog: pytest.LogCaptureFixture) -> None:
    base.away = True
    base.writer.start()
    base.put(0, 1)
    base.writer.close()
    base.path.write_bytes(base.path.read_bytes() + b'{"installation": "i", "ep')
    base.another()
    assert "in the middle of a row" in caplog.text
    assert base.writer.health().waiting == 2
    base.writer.start()
    base.put(2)
    until(lambda: b'"seq": 2' in base.path.read_bytes())
    base.away = False
    base.until(0, 1, 2)


def test_a_line_that_is_no_row_keeps_no_other_back(base: Base, caplog: pytest.LogCaptureFixture) -> None:
    base.path.write_bytes(b'{"installation": "i"}\nrubbish\n')
    base.another().start()
    base.put(0)
    base.until(0)
    until(lambda: not base.writer.health().away)
    assert base.writer.health().waiting == 0
    assert caplog.text.count("cannot be read") == 2


def test_a_file_that_somebody_took_away_is_missed(base: Base, caplog: pytest.LogCaptureFixture) -> None:
    base.away = True
    base.writer.start()
    base.put(0, 1)
    until(lambda: base.writer.health().waiting == 2 and base.path.exists())
    base.gate.clear()
    base.path.unlink()
    base.away = False
    base.gate.set()
    until(lambda: not base.writer.health().away)
    base.put(2)
    until(lambda: rows(2)[0] in base.rows)


def test_many_rows_are_written_by_the_batch_and_stay_in_order(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BATCH", 3)
    base.away = True
    base.writer.start()
    base.put(*range(10))
    until(lambda: base.writer.health().waiting == 10 and base.writer.health().away)
    base.gate.clear()
    base.away = False
    tries = base.tries
    until(lambda: base.tries > tries)  # the first batch of the file hangs, and newer rows come meanwhile
    base.put(*range(10, 15))
    base.gate.set()
    base.put(*range(15, 20))
    base.until(*range(20))


class FullDisk(Spill):
    """A disk on which there is no room while `full`."""

    full = True

    def append(self, given: Sequence[Row]) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        super().append(given)


def test_a_full_disk_is_reported_and_rows_wait_in_memory(base: Base, caplog: pytest.LogCaptureFixture) -> None:
    spill = FullDisk(base.path)
    base.writer = Writer(base._insert, spill, backlog=3, pauses=(0.01, 0.02))
    base.away = True
    base.writer.start()
    base.put(0)
    until(lambda: "No space left" in caplog.text)
    base.put(1, 2, 3, 4, 5)
    assert base.writer.health().lost == 2
    assert base.writer.health().waiting == 4
    assert caplog.text.count("are lost") == 1
    tries = base.tries
    until(lambda: base.tries > tries + 2)
    base.away = False
    base.until(0, 1, 2, 3)
    base.put(6)
    base.until(0, 1, 2, 3, 6)
    assert base.writer.health().lost == 2


def test_room_on_the_disk_is_used_as_soon_as_there_is_any(base: Base, caplog: pytest.LogCaptureFixture) -> None:
    spill = FullDisk(base.path)
    base.writer = Writer(base._insert, spill, pauses=(0.01, 0.02))
    base.away = True
    base.writer.start()
    base.put(0)
    until(lambda: "No space left" in caplog.text)
    base.put(1)
    spill.full = False
    until(lambda: base.path.exists() and len(base.path.read_bytes().splitlines()) == 2)
    base.away = False
    base.until(0, 1)


def test_a_disk_that_cannot_be_read_is_tried_again(base: Base, caplog: pytest.LogCaptureFixture) -> None:
    class BadDisk(Spill):
        bad = True

        def first(self, limit: int) -> tuple[list[Row], int]:
            if self.bad:
                raise OSError(5, "Input/output error")
            return super().first(limit)

    spill = BadDisk(base.path)
    base.writer = Writer(base._insert, spill, pauses=(0.01, 0.02))
    base.away = True
    base.writer.start()
    base.put(0)
    until(lambda: base.writer.health().away)
    base.away = False
    until(lambda: "stumbled" in caplog.text)
    base.put(1)
    spill.bad = False
    base.until(0, 1)


def test_the_end_comes_also_when_nothing_takes_rows(base: Base, caplog: pytest.LogCaptureFixture) -> None:
    base.writer = Writer(base._insert, FullDisk(base.path), pauses=(0.01, 0.02))
    base.away = True
    base.writer.start()
    base.put(0, 1)
    base.writer.close()
    assert not base.writer._thread.is_alive()
    assert "lost with the service" in caplog.text


def test_rows_of_a_database_that_hangs_are_kept_beside_it(base: Base) -> None:
    base.gate.clear()
    base.writer.start()
    base.put(0)
    until(lambda: base.tries == 1)
    base.put(1)
    base.writer.close(timeout=0.05)
    assert [row.seq for row in Spill(base.path).first(9)[0]] == [0, 1]


def test_a_disk_that_takes_a_part_is_left_as_it_was(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    spill = Spill(base.path)
    spill.append(rows(0))
    before = base.path.read_bytes()

    def failing(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", failing)
    with pytest.raises(OSError, match="No space"):
        spill.append(rows(1))
    assert base.path.read_bytes() == before
    assert spill.count == 1
