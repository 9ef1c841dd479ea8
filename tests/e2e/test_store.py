"""The store on either database: schema, keys, triggers, search. On PostgreSQL where one can be started."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ccwhisper.coaching.errors import Invalid, Unavailable
from ccwhisper.coaching.trail import Filter, Row
from ccwhisper.store import rows
from ccwhisper.store.database import Database
from ccwhisper.store.errors import StoreError
from ccwhisper.store.tables import METADATA

pytestmark = pytest.mark.e2e

NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)
ROW = Row("i", "e", 0, NOON, None, "start", None, "grace", "Grace", ("p", "q"), ("barge",), "s", "1001", "c", "fs1", "listen", "http ::1")  # noqa: E501  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without tables."""
    if request.param == "sqlite":
        made = Database.sqlite(tmp_path / "a % strange?name.db")
    else:
        made = Database.postgresql(request.getfixturevalue("server").database())
    yield made
    made.close()


@pytest.fixture
def database(empty: Database) -> Database:
    empty.upgrade()
    return empty


def execute(database: Database, statement: str) -> None:
    with database.engine.begin() as connection:
        connection.execute(text(statement))


def code_of(database: Database) -> str | None:
    try:
        database.check()
    except StoreError as error:
        return error.code
    return None


# --- schema ----------------------------------------------------------------------------------------------------------


def test_a_database_is_upgraded_once_and_then_as_it_must_be(empty: Database) -> None:
    assert code_of(empty) == "schema_missing"
    empty.upgrade()
    assert code_of(empty) is None
    assert empty.revision() == empty.head
    empty.upgrade()
    assert code_of(empty) is None


def test_the_tables_are_those_that_the_migrations_make(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_another_version_s_schema_is_refused(database: Database) -> None:
    execute(database, "UPDATE alembic_version SET version_num = 'of the future'")
    assert code_of(database) == "schema_unknown"
    with pytest.raises(StoreError) as refusal:
        database.upgrade()
    assert refusal.value.code == "schema_unknown"


def test_a_schema_that_is_behind_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "head", "later")
    assert code_of(database) == "schema_behind"


def test_an_upgrade_that_fails_has_changed_nothing(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    if empty.engine.dialect.name == "sqlite":
        sqlite3.connect(str(empty)).close()
    execute(empty, "CREATE TABLE audit_mine (at TEXT)")
    execute(empty, "CREATE INDEX audit_session ON audit_mine (at)")  # in the way of the last index
    with pytest.raises(StoreError) as refusal:
        empty.upgrade()
    assert refusal.value.code in ("database_unusable", "database_unreachable")
    assert code_of(empty) == "schema_missing"
    execute(empty, "DROP INDEX audit_session")
    empty.upgrade()
    assert code_of(empty) is None


def test_the_file_is_in_wal_mode_and_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "x.db"
    database = Database.sqlite(path)
    database.upgrade()
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        rows_in = [file.stat().st_mode & 0o777 for file in path.parent.iterdir()]
    assert set(rows_in) == {0o600}


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_text("not a database, and longer than a header " * 100)
    assert code_of(Database.sqlite(path)) == "database_unusable"
    with pytest.raises(StoreError, match="not a database"):
        Database.sqlite(path).upgrade()
    assert code_of(Database.postgresql(f"postgresql://me@/x?host={tmp_path}", "secret")) == "database_unreachable"


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"ccwhisper\[postgres\]") as refusal:
        Database.postgresql("postgresql://me@/x")
    assert refusal.value.code == "driver_missing"


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as refusal:
        Database.sqlite(tmp_path / "file" / "x.db").upgrade()
    assert refusal.value.code == "database_unreachable"


def test_a_password_is_told_nobody(tmp_path: Path) -> None:
    database = Database.postgresql(f"postgresql://me@/x?host={tmp_path}", "the-password")
    with pytest.raises(StoreError) as refusal:
        database.check()
    assert "the-password" not in f"{database} {refusal.value}"


# --- append only -----------------------------------------------------------------------------------------------------


def test_a_row_that_is_written_twice_is_one_row(database: Database) -> None:
    two = [replace(ROW, seq=number) for number in (1, 2)]
    rows.insert(database, two)
    rows.insert(database, [replace(two[1], detail="another"), replace(ROW, seq=3)])
    assert [(row.seq, row.detail) for row in rows.search(database, Filter()).rows] == [
        (3, "listen"), (2, "listen"), (1, "listen"),
    ]  # fmt: skip


def test_rows_go_in_all_or_none(database: Database) -> None:
    bad: Any = replace(ROW, seq=2, actor=None)
    with pytest.raises(DBAPIError):
        rows.insert(database, [replace(ROW, seq=1), bad])
    assert rows.search(database, Filter()).rows == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'somebody else'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "INSERT OR REPLACE INTO audit SELECT id, installation, epoch, seq, at, switch_at, 'other', refusal, actor,"
        " name, permissions, roles, session, agent, call, node, detail, origin, times FROM audit",
    ],
)
def test_nothing_is_changed_or_deleted(database: Database, statement: str) -> None:
    rows.insert(database, [ROW])
    if "REPLACE" in statement:
        if database.engine.dialect.name == "sqlite":
            execute(database, statement)
    else:
        with pytest.raises(DBAPIError):
            execute(database, statement)
    assert rows.search(database, Filter()).rows == (ROW,)


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
def test_it_is_the_triggers_that_refuse(database: Database, statement: str) -> None:
    rows.insert(database, [ROW])
    with pytest.raises(DBAPIError, match="append-only"):
        execute(database, statement)


# --- search ----------------------------------------------------------------------------------------------------------

ROWS = [
    replace(ROW, seq=1, at=NOON - timedelta(days=1), switch_at=NOON),
    replace(ROW, seq=2, actor="alan", agent="1002", call="d", session="t", action="mode", detail="Whisper 50%_"),
    replace(ROW, seq=3, refusal="role_missing", origin="socket 10.0.0.1"),
    replace(ROW, seq=4, at=NOON + timedelta(microseconds=1), agent=None, call=None, session=None),
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), [4, 3, 2, 1]),
        (Filter(since=NOON), [4, 3, 2]),
        (Filter(until=NOON), [1]),
        (Filter(since=NOON.astimezone(tz=None), until=NOON + timedelta(microseconds=1)), [3, 2]),
        (Filter(actor="alan"), [2]),
        (Filter(agent="1002"), [2]),
        (Filter(call="d"), [2]),
        (Filter(session="t"), [2]),
        (Filter(action="mode"), [2]),
        (Filter(refused=True), [3]),
        (Filter(refused=False), [4, 2, 1]),
        (Filter(text="WHISPER"), [2]),
        (Filter(text="50%_"), [2]),
        (Filter(text="0%1"), []),
        (Filter(text="role_m"), [3]),
        (Filter(text="10.0.0.1"), [3]),
        (Filter(actor="grace", refused=False, text="grace"), [4, 1]),
        (Filter(actor="' OR 1=1 --"), []),
    ],
)
def test_rows_are_found(database: Database, wanted: Filter, found: list[int]) -> None:
    rows.insert(database, ROWS)
    assert [row.seq for row in rows.search(database, wanted).rows] == found
    assert [row for row in ROWS[::-1] if row.seq in found] == list(rows.search(database, wanted).rows)


def test_pages_follow_each_other_while_rows_are_added(database: Database) -> None:
    rows.insert(database, [replace(ROW, seq=number, at=NOON + timedelta(seconds=number // 3)) for number in range(10)])
    seen = []
    page = rows.search(database, Filter(), limit=4)
    while True:
        seen += [row.seq for row in page.rows]
        if page.next is None:
            break
        rows.insert(database, [replace(ROW, seq=100 + len(seen), at=NOON + timedelta(days=1))])
        page = rows.search(database, Filter(), page.next, limit=4)
    assert seen == list(range(9, -1, -1))


@pytest.mark.parametrize("cursor", ["", "1", "1.2.3", "-1.1", "1.1 OR 1", "9" * 18 + ".1", "\u0661.1"])
def test_a_cursor_is_one_of_ours(database: Database, cursor: str) -> None:
    with pytest.raises(Invalid) as refusal:
        rows.search(database, Filter(), cursor)
    assert refusal.value.code == "cursor_invalid"


def test_a_file_that_was_moved_away_is_missed_and_not_made_anew(database: Database, tmp_path: Path) -> None:
    if database.engine.dialect.name != "sqlite":
        execute(database, "ALTER TABLE audit RENAME TO elsewhere")
    else:
        Path(str(database)).rename(tmp_path / "elsewhere")
    with pytest.raises(Unavailable) as refusal:
        rows.search(database, Filter())
    assert refusal.value.code == "store_unavailable"
    with pytest.raises(DBAPIError):
        rows.insert(database, [ROW])
    assert code_of(database) in (None, "schema_missing")
    assert not Path(str(database)).exists()
