"""One turn of the core as those see it who write down what happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import State


@dataclass(frozen=True, slots=True)
class Moment:
    """Times are seconds since the epoch: `at` by the service's clock, `switch_at` by that of the switch where an event
    of it was the cause."""

    before: State
    after: State
    event: ev.Fact | cmd.Request
    effects: Sequence[fx.Effect]
    at: float
    switch_at: float | None
