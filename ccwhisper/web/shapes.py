"""The shapes that every request and every answer of the API is made from."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SkipValidation

Id = Annotated[str, Field(min_length=1, max_length=128)]


def _encodable(value: str) -> str:
    return value.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair would make the answer unsendable


Text = Annotated[str, AfterValidator(_encodable)]


_BREAKS = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, halves of surrogate pairs, breaks of lines
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_written(char: str) -> bool:
    """Whether a character may be in what somebody writes. One that breaks lines, speaks to a terminal or turns the
    direction of what follows may not. What joins an emoji, keeps words together, or is newer than this Python may."""
    return unicodedata.category(char) not in _BREAKS and char not in _TURNS


class Ask(BaseModel):
    """A request's body or query. What is not known is refused: a misspelt key must not mean its default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """A response's body. Later versions may add fields."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class Streamed(Answer):
    """A response's body that is sent as it is made, in one of several forms."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    forms: ClassVar[tuple[str, ...]] = ()

    form: str
    file: str
    chunks: SkipValidation[Iterator[bytes]]


class Served(Answer):
    """A response's body that is a file, whole or in the ranges that were asked for. `tag` changes with what is in it;
    `file` is the name under which it is saved, where it is to be."""

    forms: ClassVar[tuple[str, ...]] = ()

    form: str
    file: str | None
    tag: str
    path: Path
