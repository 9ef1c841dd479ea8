"""A database: how it is reached, and whether its schema is the one that this version needs.

Everything in here blocks, and belongs into a native thread; the hub must not wait for a disk or a server.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from ccwhisper.store.errors import StoreError, why

CONNECT_SECONDS: Final = 5
STATEMENT_SECONDS: Final = 30
BUSY_SECONDS: Final = 5.0
_UPGRADE_LOCK: Final = 0x63637768  # any number will do that is nobody else's in this database


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


class Database:
    """One database. Nothing connects before it is used."""

    def __init__(self, engine: Engine, file: Path | None = None) -> None:
        self.engine = engine
        self._file = file
        here = Path(__file__).parent
        self._alembic = Config()
        self._alembic.set_main_option("script_location", str(here / "migrations").replace("%", "%%"))
        self._alembic.set_main_option("path_separator", "os")

    @classmethod
    def sqlite(cls, file: Path) -> Database:
        """A file. It must be there; `upgrade` makes it."""
        uri = f"file:{quote(str(file))}?mode=rw"  # a file that was moved away is missed, and not made anew

        def connect() -> sqlite3.Connection:
            # SQLAlchemy's own BEGIN below, since the module's begins too late and ends too early for DDL.
            connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
            connection.create_function("lower", 1, _lower, deterministic=True)  # its own knows the letters of ASCII
            connection.execute("PRAGMA synchronous = FULL")  # in WAL mode less may lose the last rows with the power
            return connection

        # A connection each: one that is kept goes on writing to a file that somebody has replaced.
        engine = create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            writes = connection.get_execution_options().get("writes", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return cls(engine, file)

    @classmethod
    def postgresql(cls, url: str, password: str | None = None) -> Database:
        """A server, by its URL. Raises StoreError (`driver_missing`)."""
        made = make_url(url).set(drivername="postgresql+psycopg")
        if password:
            made = made.set(password=password)
        arguments: dict[str, Any] = {
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "ccwhisper",
            "options": f"-c statement_timeout={STATEMENT_SECONDS * 1000} -c timezone=UTC",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,  # a server whose host has gone would hold a thread for a quarter of an hour
        }
        try:
            return cls(create_engine(made, pool_size=3, max_overflow=0, connect_args=arguments, hide_parameters=True))
        except ModuleNotFoundError:
            raise StoreError("driver_missing", "PostgreSQL needs psycopg: pip install 'ccwhisper[postgres]'.") from None

    # --- the schema --------------------------------------------------------------------------------------------------

    def revision(self) -> str | None:
        """The schema's revision; None where there is no schema. Raises StoreError (`database_unreachable`,
        `database_unusable`)."""
        if self._file is not None and not self._file.exists():
            return None
        try:
            with self.engine.connect() as connection:
                return MigrationContext.configure(connection).get_current_revision()
        except SQLAlchemyError as error:
            raise self._error(error) from None

    @property
    def head(self) -> str:
        """The revision that this version needs."""
        return ScriptDirectory.from_config(self._alembic).get_current_head() or ""

    def check(self) -> None:
        """Raises StoreError unless the schema is the one that this version needs (see `revision`; `schema_missing`,
        `schema_behind`, `schema_unknown`)."""
        revision, head = self.revision(), self.head
        if revision == head:
            return
        if revision is None:
            raise StoreError("schema_missing", f"{self} has no tables yet. Run: ccwhisper db upgrade")
        known = {each.revision for each in ScriptDirectory.from_config(self._alembic).walk_revisions()}
        if revision not in known:
            raise StoreError("schema_unknown", f"{self} is at revision {revision}, of another version of ccwhisper.")
        raise StoreError("schema_behind", f"{self} is at revision {revision}, not {head}. Run: ccwhisper db upgrade")

    def upgrade(self) -> None:
        """Bring the schema to the revision that this version needs, in one transaction; make an SQLite file that is not
        there. Raises StoreError."""
        known = {each.revision for each in ScriptDirectory.from_config(self._alembic).walk_revisions()}
        revision = self.revision()
        if revision is not None and revision not in known:
            self.check()
        try:
            if self._file is not None:
                self._make(self._file)
            with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
                self._alembic.attributes["connection"] = connection
                command.upgrade(self._alembic, "head")
        except OSError as error:
            raise StoreError("database_unreachable", f"{self}: {error.strerror or error}") from None
        except SQLAlchemyError as error:
            raise self._error(error) from None
        finally:
            self._alembic.attributes.clear()

    @staticmethod
    def _make(file: Path) -> None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives -wal and -shm the same mode
        connection = sqlite3.connect(file, timeout=BUSY_SECONDS)
        try:
            connection.execute("PRAGMA journal_mode = WAL")  # kept in the file
        except sqlite3.Error as error:
            raise StoreError("database_unusable", f"{file}: {error}") from None
        finally:
            connection.close()

    def close(self) -> None:
        """Let go of connections that are kept."""
        self.engine.dispose()

    def _error(self, error: SQLAlchemyError) -> StoreError:
        # Of the errors of drivers, OperationalError is what may pass without anybody changing the database.
        passing = isinstance(error, OperationalError) or (
            isinstance(error, DBAPIError) and error.connection_invalidated
        )
        return StoreError("database_unreachable" if passing else "database_unusable", f"{self}: {why(error)}")

    def __str__(self) -> str:
        return str(self._file) if self._file is not None else self.engine.url.render_as_string(hide_password=True)
