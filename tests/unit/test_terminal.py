"""Keys out of bytes, and text of a width."""

from __future__ import annotations

import pytest

from ccwhisper.cli.terminal import Keys, fit, width

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"lW? ", ["l", "w", "?", "space"]),
        (b"\x1b[A\x1bOB", ["up", "down"]),
        (b"\r\n\x04\x0c", ["enter", "enter", "end", "redraw"]),
        (b"\x1b[3~q", ["q"]),  # Delete is no key of ours, and its tail is none either
        (b"\x1b[1;5Aq", ["q"]),
        (b"\x1bOPq", ["q"]),
        (b"\x1bxq", ["q"]),  # Alt and a letter
        ("é→q".encode(), ["q"]),
        (b"\x80\xffq", ["q"]),
        (b"", []),
    ],
)
def test_keys(data: bytes, names: list[str]) -> None:
    assert Keys().feed(data) == names
    bit_by_bit = Keys()
    assert [name for at in range(len(data)) for name in bit_by_bit.feed(data[at : at + 1])] == names
    assert not bit_by_bit.unfinished


def test_escape_is_known_when_nothing_follows() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.unfinished
    assert keys.flush() == ["escape"]
    assert keys.flush() == []
    assert keys.feed(b"\x1b[") == []
    assert keys.flush() == []  # the beginning of something that never came
    assert keys.feed(b"q") == ["q"]


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("Ada", 5, "Ada  "),
        ("Ada", 3, "Ada"),
        ("Adalbert", 5, "Adal…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日… "),
        ("e\u0301a", 2, "e\u0301a"),
        ("Ada", 1, "…"),
        ("Ada", 0, ""),
        ("Ada", -3, ""),
    ],
)
def test_text_of_a_width(text: str, columns: int, shown: str) -> None:
    assert fit(text, columns) == shown
    assert sum(map(width, fit(text, columns))) == max(columns, 0)
