"""Measurements of the service on the machine it runs on. Each module has ``run() -> list[Figure]``."""

from __future__ import annotations

from dataclasses import dataclass


class Missing(RuntimeError):
    """This machine lacks what a benchmark needs; the message says what, and how to get it."""


@dataclass(frozen=True)
class Figure:
    """One measured number. ``holds`` says whether it meets ``goal``; both are None for a number without a goal."""

    name: str
    value: float
    unit: str
    goal: str | None = None
    holds: bool | None = None
