"""From a journal to what the file will hold: where each raw track lies on the time line, when a coach may be heard in
his, which moments are to be jumped to. Pure: no file, no clock.

The time line begins with the first sample of the call track and runs by the switch's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from ccwhisper.recording import journal as log
from ccwhisper.recording.result import Agent, Chapter, Coach, Cue, Problem, Span

FOREVER: Final = 1e9
"""Seconds: the end of what had none yet."""

_SAID: Final = {"got_it": "got it", "repeat": "repeat", "need_you": "need you"}


@dataclass(frozen=True, slots=True)
class Placed:
    """A raw track. `offset` is where its first sample lies (s); `length` how long the switch wrote it by its own clock,
    None where its end was not seen. `session` is the coach's, None: the call. `spans` are when the coach could be
    heard."""

    file: str
    offset: float
    length: float | None
    session: str | None = None
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known before a raw track has been opened. Times are seconds on the time line; `origin` is its beginning
    (epoch). `pauses` are silent in all tracks. `public` are spans in which the caller hears the coach, by session."""

    start: log.Start
    origin: float
    call: Placed
    whispers: tuple[Placed, ...]
    pauses: tuple[Span, ...]
    agents: tuple[Agent, ...]
    coaches: tuple[Coach, ...]
    chapters: tuple[Chapter, ...]
    cues: tuple[Cue, ...]
    public: dict[str, tuple[Span, ...]]
    problems: tuple[Problem, ...]

    def ended(self, duration: float) -> Plan:
        """The same for a recording of this length: nothing lies outside it."""
        return replace(
            self,
            whispers=tuple(replace(each, spans=_within(each.spans, duration)) for each in self.whispers),
            pauses=_within(self.pauses, duration),
            agents=tuple(
                replace(each, start=_in(each.start, duration), end=_in(each.end, duration)) for each in self.agents
            ),
            coaches=tuple(
                replace(
                    each,
                    start=_in(each.start, duration),
                    end=_in(each.end, duration),
                    spans=_within(each.spans, duration),
                )
                for each in self.coaches
            ),
            chapters=tuple(replace(each, at=_in(each.at, duration)) for each in self.chapters),
            cues=tuple(replace(each, at=_in(each.at, duration)) for each in self.cues),
            public={session: _within(spans, duration) for session, spans in self.public.items()},
        )


def plan(journal: log.Journal) -> Plan:
    """What a journal comes to, whether it has an end or not."""
    return _Reading(journal).plan()


@dataclass
class _Stay:
    """A coach's, from his coming to his leaving."""

    came: log.Coach
    lines: list[log.Line]
    left: float = FOREVER


class _Reading:
    def __init__(self, journal: log.Journal) -> None:
        self._start = journal.start
        in_order = sorted(journal.lines, key=lambda line: line.at)  # two writers of a pipeline may cross
        self._lines = list(_news(in_order))
        self._problems: list[Problem] = []
        if journal.torn:
            self._problem("journal_torn", f"{journal.torn} lines of the journal cannot be read")
        for line in self._lines:
            if isinstance(line, log.Problem):
                self._problem(line.code, f"{line.file}: {line.text}" if line.file else line.text)
        begun = self._begun(self._start.file)
        if begun is None:
            self._problem("begin_unknown", "it was not seen when the switch began to write the call")
        self._origin = self._start.at if begun is None else begun.at
        self._over = min((line.at - self._origin for line in self._of(log.Stop)), default=FOREVER)

    def plan(self) -> Plan:
        stays = list(self._stays())
        coaches: list[Coach] = []
        whispers: list[Placed] = []
        public: dict[str, tuple[Span, ...]] = {}
        for stay in stays:
            came = stay.came
            spans = self._heard(stay, ("agent", "everyone"))
            track = None
            if came.file is not None:
                placed = self._placed(came.file, came.session, came.at)
                same = [index for index, each in enumerate(whispers) if each.file == came.file]
                if same:  # one file for two stays of his
                    track = same[0] + 1
                    whispers[same[0]] = replace(whispers[same[0]], spans=whispers[same[0]].spans + spans)
                else:
                    whispers.append(replace(placed, spans=spans))
                    track = len(whispers)
            start, end = self._at(came.at), max(0.0, stay.left)
            coaches.append(
                Coach(came.session, came.coach, came.name, track, start, max(start, end), _modes(stay), spans)
            )
            public[came.session] = public.get(came.session, ()) + self._heard(stay, ("everyone",))
        return Plan(
            start=self._start,
            origin=self._origin,
            call=self._placed(self._start.file, None, self._start.at),
            whispers=tuple(whispers),
            pauses=self._pauses(),
            agents=self._agents(),
            coaches=tuple(coaches),
            chapters=tuple(self._chapters(stays)),
            cues=tuple(self._cues(stays)),
            public=public,
            problems=tuple(self._problems),
        )

    def _problem(self, code: str, text: str) -> None:
        self._problems.append(Problem(code, text))

    def _at(self, at: float) -> float:
        return round(max(0.0, at - self._origin), 3)

    def _of(self, *kinds: type[log.Line]) -> Iterator[log.Line]:
        return (line for line in self._lines if isinstance(line, kinds))

    def _begun(self, file: str) -> log.Begun | None:
        """The one that counts. A file that is ended and begun again is written anew."""
        found: log.Begun | None = None
        ended = True
        for line in self._lines:
            if isinstance(line, log.Begun | log.Ended) and line.file == file:
                if isinstance(line, log.Begun) and ended:
                    found = line
                ended = isinstance(line, log.Ended)
        return found

    def _placed(self, file: str, session: str | None, came: float) -> Placed:
        begun = self._begun(file)
        if begun is None:
            if session is not None:
                self._problem("begin_unknown", f"it was not seen when the switch began to write {file}")
            return Placed(file, came - self._origin if session else 0.0, None, session)
        ended = [line.at for line in self._of(log.Ended) if getattr(line, "file", None) == file and line.at > begun.at]
        length = ended[0] - begun.at if ended else None
        return Placed(file, begun.at - self._origin, length, session)

    def _stays(self) -> Iterator[_Stay]:
        open_stays: dict[str, _Stay] = {}
        found = []
        for line in self._lines:
            session = getattr(line, "session", None)
            if session is None:
                continue
            if isinstance(line, log.Coach):
                if session in open_stays and open_stays[session].came.file == line.file:
                    continue  # said twice
                open_stays[session] = _Stay(line, [])
                found.append(open_stays[session])
            elif session in open_stays:
                open_stays[session].lines.append(line)
                if isinstance(line, log.Left):
                    open_stays.pop(session).left = line.at - self._origin
        for stay in open_stays.values():
            stay.left = self._over
        yield from found

    def _heard(self, stay: _Stay, by: Sequence[str]) -> tuple[Span, ...]:
        changes = [(line.at - self._origin, line.gate in by) for line in stay.lines if isinstance(line, log.Gate)]
        return _spans([*changes, (stay.left, False)])

    def _pauses(self) -> tuple[Span, ...]:
        changes = [(line.at - self._origin, line.paused) for line in self._lines if isinstance(line, log.Pause)]
        # A pause without an end is silent to the end, and not only to the Stop: what comes later was not meant either.
        return _spans([*changes, (FOREVER, False)])

    def _agents(self) -> tuple[Agent, ...]:
        parties = [line for line in self._lines if isinstance(line, log.Party)]
        ends = [*(line.at - self._origin for line in parties), self._over][1:]
        return tuple(
            Agent(line.agent, line.name, self._at(line.at), round(max(0.0, end), 3))
            for line, end in zip(parties, ends, strict=True)
        )

    def _cues(self, stays: Sequence[_Stay]) -> Iterator[Cue]:
        names = {stay.came.session: stay.came.name for stay in stays}
        replies = {line.cue: line.reply for line in self._lines if isinstance(line, log.Reply)}
        for line in self._lines:
            if isinstance(line, log.Cue):
                name = names.get(line.session, "")
                yield Cue(self._at(line.at), line.session, name, line.text, replies.get(line.cue))

    def _chapters(self, stays: Sequence[_Stay]) -> Iterator[Chapter]:
        names = {stay.came.session: stay.came.name for stay in stays}
        yield Chapter(0.0, "start", f"Call, {self._start.queue}" if self._start.queue else "Call")
        for line in self._lines:
            found = _chapter(line, names.get(getattr(line, "session", ""), "Coach"))
            if found is not None:
                kind, text = found
                yield Chapter(self._at(line.at), kind, text, getattr(line, "session", None))


def _news(lines: Iterable[log.Line]) -> Iterator[log.Line]:
    """Without what a service that has started again has said once more: who is in the call, and whether it is
    paused."""
    last: dict[type[log.Line], object] = {log.Pause: False}
    for line in lines:
        if isinstance(line, log.Party | log.Pause):
            said = (line.agent, line.call) if isinstance(line, log.Party) else line.paused
            if last.get(type(line)) == said:
                continue
            last[type(line)] = said
        yield line


def _chapter(line: log.Line, coach: str) -> tuple[str, str] | None:
    match line:
        case log.Party():
            return "party", line.name
        case log.Coach():
            return "coach", f"{line.name} listens"
        case log.Mode():
            return "mode", f"{coach}: {line.mode}"
        case log.Beep():
            return "beep", f"Beep, {coach}"
        case log.Cue():
            return "cue", f"{coach}: {line.text}"
        case log.Hand():
            return "help", f"Help: {line.note}" if line.note else "Help"
        case log.Hold():
            return ("hold", "Hold") if line.held else ("unhold", "Hold ends")
        case log.Pause():
            return ("pause", "Pause") if line.paused else ("resume", "Pause ends")
        case log.Left(reason="taken_over"):
            return "taken_over", f"{coach} takes over"
        case log.Left():
            return "left", f"{coach} leaves"
        case _:
            return None


def _modes(stay: _Stay) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line.mode for line in stay.lines if isinstance(line, log.Mode)))


def _spans(changes: Iterable[tuple[float, bool]]) -> tuple[Span, ...]:
    """When it was so; the last change ends it."""
    found: list[Span] = []
    for (at, on), (until, _on) in pairwise(changes):
        start, end = max(0.0, at), max(0.0, until)
        if not on or end <= start:
            continue
        if found and found[-1].end >= start:
            found[-1] = Span(found[-1].start, end)
        else:
            found.append(Span(start, end))
    return tuple(Span(round(each.start, 3), round(each.end, 3)) for each in found)


def _within(spans: Sequence[Span], duration: float) -> tuple[Span, ...]:
    return tuple(Span(each.start, min(each.end, duration)) for each in spans if each.start < duration)


def _in(at: float, duration: float) -> float:
    return round(min(at, duration), 3)
