"""What two patterns have in common, against what the patterns themselves find."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from ccwhisper.dialplan.patterns import covers, literal, overlap, pattern

pytestmark = pytest.mark.unit

TEXTS = ["".join(chars) for length in range(5) for chars in product("123", repeat=length)]
PIECES = some.sampled_from(["1", "2", r"\d", "[12]", "[^1]", "[1-2]", "(1|2)", "(?:12)", ".", "(1?|2+)", r"\x31"])
TIMES = some.sampled_from(["", "*", "+", "?", "*?", "{2}", "{1,2}", "{0,1}", "{2,}", "{0}"])
EXPRESSIONS = some.builds(
    lambda start, parts, end: start + "".join(piece + times for piece, times in parts) + end,
    some.sampled_from(["", "^"]),
    some.lists(some.tuples(PIECES, TIMES), min_size=1, max_size=3),
    some.sampled_from(["", "$"]),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(one=EXPRESSIONS, other=EXPRESSIONS)
def test_no_text_says_otherwise(one: str, other: str) -> None:
    first, second = pattern(one), pattern(other)
    assert first
    assert second
    found = [(bool(re.search(one, text)), bool(re.search(other, text))) for text in TEXTS]
    if any(a and b for a, b in found):
        assert overlap(first, second)
    if any(b and not a for a, b in found):
        assert covers(first, second) is False


@pytest.mark.parametrize(
    ("one", "other", "common", "covered"),
    [
        (r"^(10[01]\d)$", r"^88(\d{4})$|^\*0(.*)$|^779$", False, False),
        (r"^(.*)$", r"^\*33(\d+)$", True, True),
        (r"^\*\d+$", r"^\*33(\d+)$", True, True),
        (r"^\d{2,7}$", r"^\d{4}$", True, True),
        (r"^\d{4}$", r"^\d{2,7}$", True, False),
        (r"^\d{4}$", r"^\d{5,}$", False, False),
        (r"^\+?49", r"^\+49170$", True, True),
        (r"^\+?49", r"49", True, False),
        (r"^[^1-9]$", "^0$", True, True),
        (r"^(a|b)*a(a|b){3}$", "^[ab]{9}$", True, False),
    ],
)
def test_as_a_dialplan_would_have_it(one: str, other: str, common: bool, covered: bool) -> None:
    first, second = pattern(one), pattern(other)
    assert first
    assert second
    assert overlap(first, second) is common
    assert covers(first, second) is covered


def test_one_text() -> None:
    star = literal("*33")
    feature, number = pattern(r"^\*33$"), pattern(r"^\d+$")
    assert star
    assert feature
    assert number
    assert overlap(star, feature) is True
    assert overlap(star, number) is False


@pytest.mark.parametrize(
    "expression",
    [
        r"^(?!6000)60\d{2}$", r"^(\d)\1$", "(?i)a", "[[:digit:]]", "a{2", "a{3,2}", "(", ")", "[a", "*a", "a**",
        "a++", "\\", r"\bx", "^${number}$", "/^a$/i", "a" * 501, "(((a{50}){50}){50}){50}",
        "(" * 40 + "a" + ")" * 40, "[b-a]",
    ],
)  # fmt: skip
def test_what_is_not_understood_has_no_answer(expression: str) -> None:
    assert pattern(expression) is None


def test_what_is_too_hard_has_no_answer() -> None:
    wide, narrow = pattern("^(a|b)*a(a|b){40}$"), pattern("^(a|b)*b(a|b){40}(a|b)*$")
    assert wide
    assert narrow
    assert covers(wide, narrow) is None
    assert overlap(wide, narrow) is None
