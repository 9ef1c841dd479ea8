"""The shapes that every request and every answer of the API is made from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SkipValidation

Id = Annotated[str, Field(min_length=1, max_length=128)]


def _encodable(value: str) -> str:
    return value.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair would make the answer unsendable


Text = Annotated[str, AfterValidator(_encodable)]


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
