"""The gate and the paths between modes, row by row."""

from __future__ import annotations

from itertools import product

import pytest

from ccwhisper.coaching.modes import PATHS, Gate, Mode, Talk, gate

pytestmark = pytest.mark.unit

ROWS = {
    (Mode.WHISPER, Talk.OPEN, False, False): Gate.AGENT,
    (Mode.WHISPER, Talk.OPEN, False, True): Gate.AGENT,
    (Mode.WHISPER, Talk.PUSH, False, True): Gate.AGENT,
    (Mode.BARGE, Talk.OPEN, False, False): Gate.EVERYONE,
    (Mode.BARGE, Talk.OPEN, False, True): Gate.EVERYONE,
    (Mode.BARGE, Talk.PUSH, False, True): Gate.EVERYONE,
}


@pytest.mark.parametrize("row", list(product(Mode, Talk, (False, True), (False, True))), ids=str)
def test_every_row(row: tuple[Mode, Talk, bool, bool]) -> None:
    assert gate(*row) is ROWS.get(row, Gate.CLOSED)


def test_digits_are_those_of_the_agents_leg() -> None:
    # 1 would be heard by the caller alone
    assert [(each, each.digit) for each in Gate] == [(Gate.CLOSED, 0), (Gate.AGENT, 2), (Gate.EVERYONE, 3)]


def test_every_change_has_a_path_that_ends_there() -> None:
    for start, end in product(Mode, Mode):
        path = PATHS[start, end]
        assert (path[-1] if path else start) is end


def test_whisper_is_entered_from_listen_only() -> None:
    for (start, _), path in PATHS.items():
        for before, after in zip((start, *path), path, strict=False):
            assert after is not Mode.WHISPER or before is Mode.LISTEN
