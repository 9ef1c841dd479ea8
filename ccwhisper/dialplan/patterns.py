"""Which numbers two patterns have in common, and whether one takes all that another takes.

Answered exactly, by automata, and never by running a stranger's pattern: one that takes hours to match costs nothing
here. Understood is what dialplans are written in: characters, classes, groups, alternatives, repetition, anchors. What
is not understood (look-around, back-references, options, variables in a pattern) has no answer, and the rules then say
nothing.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from functools import cached_property, lru_cache

_FIRST, _LAST = 0x20, 0x7E
_BEGIN, _END = 1 << (_LAST - _FIRST + 1), 1 << (_LAST - _FIRST + 2)
_TEXT = _BEGIN - 1
"""Every printable ASCII character, one bit each."""
_MAX_STATES = 2_000
_MAX_LOOKS = 2_000
_MAX_NESTING = 20


def _bit(char: str) -> int:
    return 1 << (ord(char) - _FIRST) if _FIRST <= ord(char) <= _LAST else 0


def _bits(chars: Iterable[str]) -> int:
    found = 0
    for char in chars:
        found |= _bit(char)
    return found


_DIGIT = _bits("0123456789")
_WORD = _DIGIT | _bits("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_SPACE = _bits(" ")
_CLASSES = {
    "d": _DIGIT,
    "D": _TEXT & ~_DIGIT,
    "w": _WORD,
    "W": _TEXT & ~_WORD,
    "s": _SPACE,
    "S": _TEXT & ~_SPACE,
}


class _Unknown(Exception):
    """The pattern, or the question, is beyond this module."""


class Pattern:
    """What a regular expression finds in a text, as an automaton over the text between a begin and an end mark."""

    def __init__(self) -> None:
        self.moves: list[list[tuple[int, int]]] = []
        """By state: characters, and the state that they lead to. No characters: at once."""
        self.start = self.end = 0
        self.masks: frozenset[int] = frozenset()
        """The sets of characters that it tells apart."""
        self.single: tuple[int, ...] | None = None
        """The only text that it takes, where it is made of one."""
        self._after: dict[tuple[frozenset[int], int], frozenset[int]] = {}

    def state(self) -> int:
        if len(self.moves) >= _MAX_STATES:
            raise _Unknown
        self.moves.append([])
        return len(self.moves) - 1

    def closure(self, states: Iterable[int]) -> frozenset[int]:
        """With every state that is reached at once."""
        found = set(states)
        waiting = list(found)
        while waiting:
            for chars, target in self.moves[waiting.pop()]:
                if not chars and target not in found:
                    found.add(target)
                    waiting.append(target)
        return frozenset(found)

    def after(self, states: frozenset[int], char: int) -> frozenset[int]:
        found = self._after.get((states, char))
        if found is None:
            found = self.closure(target for state in states for chars, target in self.moves[state] if chars & char)
            self._after[states, char] = found
        return found

    def takes(self, text: tuple[int, ...]) -> bool:
        """Does it find something in this text, marks included?"""
        states = self.closure([self.start])
        for char in text:
            states = self.after(states, char)
        return self.end in states

    @cached_property
    def example(self) -> tuple[int, ...] | None:
        """A shortest text in which it finds something. None: there is none, or it is too hard to say."""
        first = self.closure([self.start])
        seen = {first}
        waiting: deque[tuple[frozenset[int], tuple[int, ...]]] = deque([(first, (_BEGIN,))])
        signs = [*_distinct([self]), _END]
        while waiting and len(seen) < _MAX_LOOKS:
            states, text = waiting.popleft()
            states = self.after(states, text[-1])
            if text[-1] == _END:
                if self.end in states:
                    return text
            elif states and states not in seen:
                seen.add(states)
                waiting += ((states, (*text, sign)) for sign in signs)
        return None


@lru_cache(maxsize=4096)
def pattern(expression: str, whole: bool = False) -> Pattern | None:
    """None if it is not understood. `whole`: it must take the whole text, as if it stood between ^ and $."""
    if len(expression) > 500 or expression.startswith("/") or "${" in expression:
        return None
    try:
        return _Reader(expression).read(whole)
    except _Unknown:
        return None


def literal(text: str) -> Pattern | None:
    """The pattern that takes this text and no other."""
    made = pattern(re.escape(text), whole=True)
    if made is not None:
        made.single = (_BEGIN, *map(_bit, text), _END)
    return made


def overlap(*patterns: Pattern) -> bool | None:
    """Is there a text that all of them find something in? None: too hard to say."""
    single = next((each.single for each in patterns if each.single is not None), None)
    if single is not None:
        return all(each.takes(single) for each in patterns)
    return _search(patterns, ())


def covers(wide: Pattern, narrow: Pattern) -> bool | None:
    """Does `wide` find something in every text in which `narrow` does? None: too hard to say."""
    if narrow.example is not None and not wide.takes(narrow.example):
        return False  # nearly always, and soon known
    other = _search((narrow,), (wide,))
    return None if other is None else not other


def _search(found: tuple[Pattern, ...], missed: tuple[Pattern, ...]) -> bool | None:
    """Is there a text that all of the first and none of the second find something in?"""
    every = (*found, *missed)
    signs = _distinct(every)
    first = tuple(each.closure([each.start]) for each in every)
    seen, waiting = {(0, first)}, deque([(0, first)])
    while waiting:
        stage, states = waiting.popleft()
        if stage == 2:
            ends = [each.end in state for each, state in zip(every, states, strict=True)]
            if all(ends[: len(found)]) and not any(ends[len(found) :]):
                return True
            continue
        for sign in [_BEGIN] if stage == 0 else [*signs, _END]:
            after = 2 if sign == _END else 1
            then = (after, tuple(each.after(state, sign) for each, state in zip(every, states, strict=True)))
            if then not in seen and all(then[1][: len(found)]):
                if len(seen) > _MAX_LOOKS:
                    return None
                seen.add(then)
                waiting.append(then)
    return False


def _distinct(patterns: Iterable[Pattern]) -> list[int]:
    """One character of each kind that no pattern tells from the others."""
    kinds = [_TEXT]
    for mask in {mask for each in patterns for mask in each.masks}:
        kinds = [part for kind in kinds for part in (kind & mask, kind & ~mask) if part]
    return [kind & -kind for kind in kinds]


class _Reader:
    """Recursive descent; each part is a pair of states of the automaton."""

    def __init__(self, expression: str) -> None:
        self.left = expression
        self.made = Pattern()
        self.nesting = 0

    def read(self, whole: bool) -> Pattern:
        made = self.made
        start, end = self.alternatives()
        if self.left:
            raise _Unknown
        made.start, made.end = made.state(), made.state()
        if whole:
            made.moves[made.start].append((_BEGIN, start))
            made.moves[end].append((_END, made.end))
        else:
            anything = _TEXT | _BEGIN | _END
            made.moves[made.start] += [(anything, made.start), (0, start)]
            made.moves[made.end].append((anything, made.end))
            made.moves[end].append((0, made.end))
        made.masks = frozenset(chars & _TEXT for moves in made.moves for chars, _ in moves) - {0, _TEXT}
        return made

    def alternatives(self) -> tuple[int, int]:
        self.nesting += 1
        if self.nesting > _MAX_NESTING:
            raise _Unknown
        start, end = self.made.state(), self.made.state()
        while True:
            first, last = self.sequence()
            self.made.moves[start].append((0, first))
            self.made.moves[last].append((0, end))
            if not self.left.startswith("|"):
                self.nesting -= 1
                return start, end
            self.left = self.left[1:]

    def sequence(self) -> tuple[int, int]:
        start = end = self.made.state()
        while self.left and self.left[0] not in "|)":
            before = self.left
            first, last = self.atom()
            used = before[: len(before) - len(self.left)]
            first, last = self.repeated(first, last, used)
            self.made.moves[end].append((0, first))
            end = last
        return start, end

    def atom(self) -> tuple[int, int]:
        char, self.left = self.left[0], self.left[1:]
        if char == "(":
            if self.left.startswith("?:"):
                self.left = self.left[2:]
            elif self.left.startswith("?"):
                raise _Unknown
            pair = self.alternatives()
            if not self.left.startswith(")"):
                raise _Unknown
            self.left = self.left[1:]
            return pair
        if char in "*+?{":
            raise _Unknown
        marks = {"^": _BEGIN, "$": _END, ".": _TEXT}
        return self.step(marks[char] if char in marks else self.set() if char == "[" else self.one(char))

    def one(self, char: str) -> int:
        if char != "\\":
            return _bit(char)
        if not self.left:
            raise _Unknown
        char, self.left = self.left[0], self.left[1:]
        if char in _CLASSES:
            return _CLASSES[char]
        if char == "x" and len(self.left) > 1:
            code, self.left = self.left[:2], self.left[2:]
            try:
                return _bit(chr(int(code, 16)))
            except ValueError:
                raise _Unknown from None
        if char.isalnum():
            raise _Unknown
        return _bit(char)

    def set(self) -> int:
        negated = self.left.startswith("^")
        self.left = self.left[negated:]
        found, first = 0, True
        while self.left and (first or self.left[0] != "]"):
            first = False
            if self.left.startswith("[:"):
                raise _Unknown
            char, self.left = self.left[0], self.left[1:]
            mask = self.one(char)
            if self.left.startswith("-") and self.left[1:2] not in ("]", "") and mask.bit_count() == 1:
                last, self.left = self.left[1], self.left[2:]
                top = self.one(last)
                if top.bit_count() != 1 or top < mask:
                    raise _Unknown
                mask = (top << 1) - mask
            found |= mask
        if not self.left:
            raise _Unknown
        self.left = self.left[1:]
        return _TEXT & ~found if negated else found

    def step(self, chars: int) -> tuple[int, int]:
        start, end = self.made.state(), self.made.state()
        if chars:
            self.made.moves[start].append((chars, end))
        return start, end

    def repeated(self, first: int, last: int, used: str) -> tuple[int, int]:
        low, high = self.times()
        if (low, high) == (1, 1):
            return first, last
        made, rest, nesting = self.made, self.left, self.nesting
        start = end = made.state()
        parts = [(first, last)]
        for _ in range(1, low if high is None else high):
            self.left = used
            parts.append(self.atom())
            self.left, self.nesting = rest, nesting
        skips = []
        for number, (begin, stop) in enumerate(parts):
            if number >= low:
                skips.append(end)
            made.moves[end].append((0, begin))
            end = stop
        after = made.state()
        made.moves[end].append((0, after))
        if high is None:
            made.moves[after].append((0, parts[-1][0]))
        for state in skips:
            made.moves[state].append((0, after))
        if high == 0:
            made.moves[start] = [(0, after)]
        return start, after

    def times(self) -> tuple[int, int | None]:
        """How often, and what follows: a second + or ? changes what a group takes, and not whether it matches."""
        signs: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        sign = self.left[:1]
        if sign in signs:
            self.left = self.left[1:]
            found = signs[sign]
        elif sign == "{":
            inside, closed, self.left = self.left[1:].partition("}")
            low, comma, high = inside.partition(",")
            if not closed or not low.isdigit() or (high and not high.isdigit()) or len(inside) > 7:
                raise _Unknown
            found = (int(low), (int(high) if high else None) if comma else int(low))
            if found[1] is not None and found[1] < found[0]:
                raise _Unknown
        else:
            return 1, 1
        if self.left.startswith("+"):
            raise _Unknown
        self.left = self.left.removeprefix("?")
        return found
