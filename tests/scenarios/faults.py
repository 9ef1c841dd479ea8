"""Faults planted in the service (see `planted`): each is caught by a scenario, whichever switch it runs on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios import frames, matrix, planted, topology
from tests.scenarios.stage import TIMES, NotAsExpected, Stage

Scenario = Callable[[Stage], None]

MODES = matrix.test_listen_whisper_barge_and_back
WHISPER = matrix.test_a_request_to_whisper_listens_first

CAUGHT: dict[str, tuple[Scenario, str]] = {
    "gate: closed and agent swapped": (MODES, "agent hears carla at .* instead of -16 dBFS"),
    "gate: agent and everyone swapped": (MODES, "caller hears carla at .* must not"),
    "gate: closed and everyone swapped": (MODES, "caller hears carla at .* must not"),
    "gate: the other party instead of the agent": (MODES, "caller hears carla at .* must not"),
    "beep without mux": (matrix.test_the_beep_is_for_the_agent_alone, r"is not heard for 0\.\d+ s around a beep"),
    "the caller's leg taken for the agent's": (WHISPER, "caller hears carla at .* must not"),
    "no jitter buffer": (frames.test_the_caller_loses_nothing_of_the_agent, r"the caller lost \d+ frames"),
    "a barge kept over a re-bridge": (
        partial(topology.test_a_barge_is_not_heard_by_the_next_caller, follow="agent"), "carla is on the call in listen"
    ),
}  # fmt: skip


def run(scenarios: Iterable[Scenario], node: Any, new_stage: Callable[..., Any], fault: str) -> None:
    """Scenarios on a service of their own, with a fault."""
    program = (sys.executable, str(Path(planted.__file__)), fault)
    with new_stage(node, TIMES, program) as stage:
        for scenario in scenarios:
            try:
                scenario(stage)
            finally:
                stage.clear()


def test_every_fault_is_looked_for() -> None:
    assert {*CAUGHT, "none"} == planted.FAULTS.keys()


@pytest.mark.parametrize("fault", CAUGHT)
def test_a_planted_fault_is_caught(node: Any, new_stage: Callable[..., Any], fault: str) -> None:
    scenario, what = CAUGHT[fault]
    with pytest.raises(NotAsExpected, match=what):
        run([scenario], node, new_stage, fault)


def test_where_none_is_planted_none_is_caught(node: Any, new_stage: Callable[..., Any]) -> None:
    run(dict.fromkeys(scenario for scenario, _ in CAUGHT.values()), node, new_stage, "none")
