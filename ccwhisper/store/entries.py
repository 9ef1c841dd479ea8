"""The list of recordings into a database, and out of it. Everything in here blocks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ccwhisper.coaching.errors import Invalid
from ccwhisper.recording.index import (
    LONGEST_COMMENT,
    Comment,
    Entry,
    EntryPage,
    Exposure,
    Person,
    State,
    Tally,
    Wanted,
    exposures,
)
from ccwhisper.recording.journal import Start
from ccwhisper.recording.result import Problem, Result, ResultBroken, dump, load
from ccwhisper.store.recorder import plain
from ccwhisper.store.tables import COMMENT, PERSON, RECORDING

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"([0-9]{1,17})\.([0-9A-Za-z-]{1,64})")
_KEY = ["installation", "id"]
_NOBODY = Exposure()


# --- writing ---------------------------------------------------------------------------------------------------------


def keep(connection: Connection, installation: str, result: Result, headsets: Mapping[str, str]) -> bool:
    """A finished recording, in place of whatever was known of it; False of one that was deleted."""
    found = exposures(result)
    measured = any(each.measured for each in found.values())
    values = {
        "state": "ready",
        "problem": None,
        "reason": None,
        "node": plain(result.node),
        "queue": _optional(result.queue),
        "direction": plain(result.direction),
        "number": plain(result.number),
        "name": plain(result.name),
        "started_at": _moment(result.started_at),
        "duration": result.duration,
        "modes": _between(dict.fromkeys(mode for coach in result.coaches for mode in coach.modes)),
        "words": "\n".join(plain(cue.text).lower() for cue in result.cues),
        "routing": any(each.routing for each in found.values()) if measured else None,
        "acoustic": any(each.acoustic for each in found.values()) if measured else None,
        "result": json.dumps(dump(result)),
    }
    if not _put(connection, installation, result.id, values):
        return False
    agents = {each.agent: each.name for each in result.agents}
    coaches = {each.coach: each.name for each in result.coaches}
    _name(connection, installation, result.id, "agent", agents, headsets, found)
    _name(connection, installation, result.id, "coach", coaches, {}, {})
    return True


def note(
    connection: Connection,
    installation: str,
    recording: str,
    state: State,
    problem: Problem | None,
    start: Start | None,
    agents: Sequence[Person],
) -> bool:
    """In which state one is, before it is finished; False of one that was deleted, and of one that was never heard of
    and whose `start` is not said."""
    values: dict[str, Any] = {
        "state": state,
        "problem": problem and plain(problem.code),
        "reason": problem and plain(problem.text),
    }
    if start is None:
        mine = RECORDING.c.installation == installation, RECORDING.c.id == recording, RECORDING.c.state != "deleted"
        if not connection.execute(update(RECORDING).where(*mine).values(values)).rowcount:
            return False
    else:
        about = {
            "node": plain(start.node),
            "queue": _optional(start.queue),
            "direction": plain(start.direction),
            "number": plain(start.number),
            "name": plain(start.name),
            "started_at": _moment(start.at),
        }
        if not _put(connection, installation, recording, values | about, {"modes": "", "words": ""}):
            return False
    if agents:
        _name(connection, installation, recording, "agent", {each.id: each.name for each in agents}, {}, {})
    return True


def forget(connection: Connection, installation: str, recording: str) -> None:
    """Nothing is left of it but that it was, when, in which queue and with which agents."""
    for table in (COMMENT, PERSON):
        kinds = [PERSON.c.kind == "coach"] if table is PERSON else []
        connection.execute(
            delete(table).where(table.c.installation == installation, table.c.recording == recording, *kinds)
        )
    connection.execute(
        update(RECORDING)
        .where(RECORDING.c.installation == installation, RECORDING.c.id == recording)
        .values(
            state="deleted", problem=None, reason=None, number="", name="", duration=None, modes="", words="",
            routing=None, acoustic=None, result=None,
        )
    )  # fmt: skip
    connection.execute(
        update(PERSON)
        .where(PERSON.c.installation == installation, PERSON.c.recording == recording)
        .values(headset=None, measured=False, routing=False, acoustic=False, level=None)
    )


def _put(
    connection: Connection,
    installation: str,
    recording: str,
    values: Mapping[str, Any],
    first: Mapping[str, Any] | None = None,
) -> bool:
    made: Any = sqlite.insert(RECORDING) if connection.dialect.name == "sqlite" else postgresql.insert(RECORDING)
    statement = made.values(installation=installation, id=recording, **values, **(first or {}))
    upsert = statement.on_conflict_do_update(index_elements=_KEY, set_=values, where=RECORDING.c.state != "deleted")
    return connection.execute(upsert.returning(RECORDING.c.id)).first() is not None


def _name(
    connection: Connection,
    installation: str,
    recording: str,
    kind: str,
    people: Mapping[str, str],
    headsets: Mapping[str, str],
    found: Mapping[str, Exposure],
) -> None:
    """Who is on it. A person's headset is the one of the day, and stays."""
    mine = PERSON.c.installation == installation, PERSON.c.recording == recording, PERSON.c.kind == kind
    worn = {row.person: row.headset for row in connection.execute(select(PERSON).where(*mine))}
    connection.execute(delete(PERSON).where(*mine))
    rows = []
    for place, (person, name) in enumerate(people.items()):
        was = found.get(person, _NOBODY)
        rows.append(
            {
                "installation": installation,
                "recording": recording,
                "kind": kind,
                "person": plain(person),
                "place": place,
                "name": plain(name),
                "headset": worn.get(plain(person)) or _optional(headsets.get(person)),
                "measured": was.measured,
                "routing": was.routing,
                "acoustic": was.acoustic,
                "level": was.level,
            }
        )
    if rows:
        connection.execute(insert(PERSON), rows)


# --- reading ---------------------------------------------------------------------------------------------------------


def search(connection: Connection, installation: str, wanted: Wanted, after: str | None, limit: int) -> EntryPage:
    """The newest, or those that follow `after`. Raises Invalid (`cursor_invalid`)."""
    query = select(RECORDING).where(*_conditions(installation, wanted))
    query = query.order_by(RECORDING.c.started_at.desc(), RECORDING.c.id.desc()).limit(limit + 1)
    found = connection.execute(_from(query, after)).all()
    shown = found[:limit]
    more = f"{(shown[-1].started_at - _EPOCH) // timedelta(microseconds=1)}.{shown[-1].id}" if found[limit:] else None
    return EntryPage(_entries(connection, installation, shown), more)


def one(connection: Connection, installation: str, recording: str) -> tuple[Entry, Result | None] | None:
    """One, and what it is when it is finished; None where there is none."""
    query = select(RECORDING).where(RECORDING.c.installation == installation, RECORDING.c.id == recording)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    try:
        result = load(json.loads(row.result)) if row.result else None
    except (ValueError, ResultBroken):
        result = None  # of a later version that says something else
    return _entries(connection, installation, [row])[0], result


def tallies(
    connection: Connection, installation: str, queues: frozenset[str] | None, since: datetime | None
) -> tuple[Tally, ...]:
    """By agent and headset, the loudest first."""
    joined = and_(RECORDING.c.installation == PERSON.c.installation, RECORDING.c.id == PERSON.c.recording)
    conditions = _conditions(installation, Wanted(queues=queues, since=since, state="ready"))
    columns = PERSON.c.person, PERSON.c.headset, PERSON.c.name, PERSON.c.routing, PERSON.c.acoustic, PERSON.c.level
    query = select(*columns).select_from(PERSON.join(RECORDING, joined))
    rows = connection.execute(
        query.where(PERSON.c.kind == "agent", PERSON.c.measured, *conditions).order_by(RECORDING.c.started_at)
    )
    found: dict[tuple[str, str | None], Tally] = {}
    for row in rows:
        was = found.get((row.person, row.headset), Tally(row.person, row.name, row.headset, 0, 0, 0, None))
        levels = [level for level in (was.worst, row.level) if level is not None]
        found[row.person, row.headset] = Tally(
            row.person, row.name, row.headset, was.measured + 1, was.routing + row.routing, was.acoustic + row.acoustic,
            max(levels, default=None),
        )  # fmt: skip
    order = sorted(found.values(), key=lambda each: (-each.acoustic, -each.routing, each.agent, each.headset or ""))
    return tuple(order)


def _conditions(installation: str, wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    yield RECORDING.c.installation == installation
    if wanted.queues is not None:
        yield RECORDING.c.queue.in_(sorted(wanted.queues))
    if wanted.since is not None:
        yield RECORDING.c.started_at >= wanted.since
    if wanted.until is not None:
        yield RECORDING.c.started_at < wanted.until
    if wanted.queue is not None:
        yield RECORDING.c.queue == wanted.queue
    if wanted.mode is not None:
        yield RECORDING.c.modes.contains(f" {wanted.mode} ", autoescape=True)
    if wanted.state is None:
        yield RECORDING.c.state != "deleted"
    else:
        yield RECORDING.c.state == wanted.state
    if wanted.flagged is not None:
        bleeds = or_(RECORDING.c.routing.is_(True), RECORDING.c.acoustic.is_(True))
        yield bleeds if wanted.flagged else and_(RECORDING.c.routing.is_not(True), RECORDING.c.acoustic.is_not(True))
    for kind, person in (("agent", wanted.agent), ("coach", wanted.coach)):
        if person is not None:
            yield _has(PERSON, PERSON.c.kind == kind, PERSON.c.person == person)
    if wanted.text is not None:
        yield _says(wanted.text.lower())


def _says(text: str) -> ColumnElement[bool]:
    columns = RECORDING.c.number, RECORDING.c.name, RECORDING.c.words
    return or_(
        *(func.lower(column).contains(text, autoescape=True) for column in columns),
        _has(PERSON, func.lower(PERSON.c.name).contains(text, autoescape=True)),
        _has(COMMENT, func.lower(COMMENT.c.text).contains(text, autoescape=True)),
    )


def _has(table: Any, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    same = table.c.installation == RECORDING.c.installation, table.c.recording == RECORDING.c.id
    return exists(select(1).select_from(table).where(*same, *conditions))


def _from(query: Select[Any], after: str | None) -> Select[Any]:
    if after is None:
        return query
    found = _CURSOR.fullmatch(after)
    if not found:
        raise Invalid("cursor_invalid", "after: is not what an answer gave as next.")
    at, last = _EPOCH + timedelta(microseconds=int(found[1])), RECORDING.c.started_at
    return query.where(or_(last < at, and_(last == at, RECORDING.c.id < found[2])))


def _entries(connection: Connection, installation: str, rows: Sequence[Any]) -> tuple[Entry, ...]:
    ids = [row.id for row in rows]
    mine = PERSON.c.installation == installation, PERSON.c.recording.in_(ids)
    people: dict[tuple[str, str], list[Person]] = {}
    for each in connection.execute(select(PERSON).where(*mine).order_by(PERSON.c.place)):
        people.setdefault((each.recording, each.kind), []).append(Person(each.person, each.name))
    of = COMMENT.c.installation == installation, COMMENT.c.recording.in_(ids)
    counted = select(COMMENT.c.recording, func.count().label("comments")).where(*of).group_by(COMMENT.c.recording)
    comments = {row.recording: row.comments for row in connection.execute(counted)}
    return tuple(
        Entry(
            id=row.id,
            state=row.state,
            problem=Problem(row.problem, row.reason or "") if row.problem else None,
            node=row.node,
            queue=row.queue,
            direction=row.direction,
            number=row.number,
            name=row.name,
            started_at=row.started_at,
            duration=row.duration,
            agents=tuple(people.get((row.id, "agent"), ())),
            coaches=tuple(people.get((row.id, "coach"), ())),
            modes=tuple(row.modes.split()),
            routing=row.routing,
            acoustic=row.acoustic,
            comments=comments.get(row.id, 0),
        )
        for row in rows
    )


# --- comments --------------------------------------------------------------------------------------------------------


def comments(connection: Connection, installation: str, recording: str) -> tuple[Comment, ...]:
    """In the order of their moments."""
    mine = COMMENT.c.installation == installation, COMMENT.c.recording == recording
    rows = connection.execute(select(COMMENT).where(*mine).order_by(COMMENT.c.at, COMMENT.c.id))
    return tuple(_comment(row) for row in rows)


def comment(connection: Connection, installation: str, recording: str, number: int) -> Comment | None:
    """One; None where there is none."""
    row = connection.execute(select(COMMENT).where(*_this(installation, recording, number))).one_or_none()
    return _comment(row) if row else None


def add(connection: Connection, installation: str, recording: str, given: Comment) -> Comment:
    """A new one, with the number that it gets."""
    values = {name: getattr(given, name) for name in ("author", "name", "at", "text", "created_at", "edited_at")}
    plain_values = {
        name: plain(value, LONGEST_COMMENT) if isinstance(value, str) else value for name, value in values.items()
    }
    made = connection.execute(
        insert(COMMENT).returning(COMMENT), {"installation": installation, "recording": recording, **plain_values}
    )
    return _comment(made.one())


def edit(connection: Connection, installation: str, recording: str, number: int, text: str, at: datetime) -> None:
    """Another text."""
    values = {"text": plain(text, LONGEST_COMMENT), "edited_at": at}
    connection.execute(update(COMMENT).where(*_this(installation, recording, number)).values(values))


def drop(connection: Connection, installation: str, recording: str, number: int) -> None:
    """It is gone."""
    connection.execute(delete(COMMENT).where(*_this(installation, recording, number)))


def _this(installation: str, recording: str, number: int) -> tuple[ColumnElement[bool], ...]:
    return COMMENT.c.installation == installation, COMMENT.c.recording == recording, COMMENT.c.id == number


def _comment(row: Any) -> Comment:
    return Comment(row.id, row.author, row.name, row.at, row.text, row.created_at, row.edited_at)


# --- values ----------------------------------------------------------------------------------------------------------


def _optional(text: str | None) -> str | None:
    return None if text is None else plain(text)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _between(words: Iterable[str]) -> str:
    return f" {' '.join(words)} "
