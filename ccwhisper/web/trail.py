"""The audit trail as the API needs it, and the shapes in which it is given out."""

from __future__ import annotations

import csv
import errno
import io
import logging
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, Protocol

from pydantic import AfterValidator, AwareDatetime, Field

from ccwhisper.coaching.errors import Unavailable
from ccwhisper.coaching.trail import Filter, Health, Page, Row
from ccwhisper.web.shapes import Answer, Ask, Streamed, Text

logger = logging.getLogger(__name__)


class Trail(Protocol):
    """Where rows are kept. None of it makes the hub wait."""

    def health(self) -> Health:
        """How far the database is behind."""

    def search(self, wanted: Filter, after: str | None = None, limit: int = 100) -> Page:
        """The newest rows, or those that follow `after`. Raises Invalid (`cursor_invalid`) and Unavailable
        (`store_unavailable`)."""

    def pages(self, wanted: Filter) -> Iterator[tuple[Row, ...]]:
        """All rows, newest first, a piece at a time. Raises as `search`, at any piece."""


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond the calendar") from None


Word = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
Moment = Annotated[AwareDatetime, AfterValidator(_utc)]


class AuditFilter(Ask):
    since: Annotated[Moment | None, Field(alias="from", description="Not before this, as 2026-01-31T12:00:00Z.")] = None
    until: Annotated[Moment | None, Field(alias="to", description="Before this.")] = None
    actor: Annotated[Word | None, Field(description="The token's sub.")] = None
    agent: Word | None = None
    call: Word | None = None
    session: Word | None = None
    action: Word | None = None
    refused: Annotated[bool | None, Field(description="Only refusals, or only what was done.")] = None
    text: Annotated[Word | None, Field(description="Is found anywhere in a row's words, in either case.")] = None

    @property
    def wanted(self) -> Filter:
        """In the store's terms."""
        return Filter(**{field.name: getattr(self, field.name) for field in fields(Filter)})


class AuditQuery(AuditFilter):
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    after: Annotated[str | None, Field(max_length=64, description="`next` of the answer before.")] = None


class AuditExportQuery(AuditFilter):
    format: Literal["csv", "jsonl"] = "csv"


class AuditRow(Answer):
    """Who did what to whom, or was refused it. `installation`, `epoch` and `seq` are its key."""

    at: Annotated[datetime, Field(description="By the service's clock.")]
    switch_at: Annotated[datetime | None, Field(description="By the switch's, where an event of it was the cause.")]
    action: Text
    refusal: Annotated[Text | None, Field(description="The code of the error; null of what was done.")]
    actor: Text
    name: Text
    permissions: list[Text]
    roles: list[Text]
    session: Text | None
    agent: Text | None
    call: Text | None
    node: Text | None
    detail: Text
    origin: Text
    times: Annotated[int, Field(description="How many refusals, all alike, it stands for.")]
    installation: Text
    epoch: Text
    seq: int


class AuditList(Answer):
    rows: Annotated[list[AuditRow], Field(description="Newest first.")]
    next: Annotated[str | None, Field(description="To be given back as `after`; null when there are no more.")]


COLUMNS: Final = tuple(AuditRow.model_fields)
MEDIA: Final = {"csv": "text/csv", "jsonl": "application/jsonl"}


class AuditExport(Streamed):
    forms = tuple(MEDIA.values())


def shown(row: Row) -> AuditRow:
    """A row as the API tells it."""
    return AuditRow(
        at=row.at, switch_at=row.switch_at, action=row.action, refusal=row.refusal, actor=row.actor, name=row.name,
        permissions=list(row.permissions), roles=list(row.roles), session=row.session, agent=row.agent, call=row.call,
        node=row.node, detail=row.detail, origin=row.origin, times=row.times, installation=row.installation,
        epoch=row.epoch, seq=row.seq,
    )  # fmt: skip


def exported(pages: Iterable[tuple[Row, ...]], form: str) -> Iterator[bytes]:
    """Rows as a file, a piece at a time."""
    if form == "csv":
        yield _csv([COLUMNS])
    try:
        for page in pages:
            rows = map(shown, page)
            if form == "csv":
                yield _csv([_cell(value) for value in row.model_dump(mode="json").values()] for row in rows)
            else:
                yield b"".join(row.model_dump_json().encode() + b"\n" for row in rows)
    except Unavailable as error:
        logger.warning("an export of the audit trail broke off: %s", error)
        # Too late for a status. The server closes the connection without the last chunk, and the client knows.
        raise ConnectionResetError(errno.ECONNRESET, error.message) from None


def _csv(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula, whoever chose what is in it."""
    text = " ".join(value) if isinstance(value, list) else "" if value is None else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
