"""The service or the switch is killed (SIGKILL) while calls are recorded: each recording that had a start is finished,
or listed with the reason why it is not.

Three recordings for each kill, and two kills; `CCW_KILLS=10 scripts/test live -k recording_crash` makes thirty. The
moments are random: a failure says which they were.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccwhisper.coaching.policy import REVIEW
from ccwhisper.coaching.recorded import recording_of
from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.phones import PhoneError
from ccwhisper.proof.stage import Scene, Stage, wait_until
from tests.live.recorded import RECORDED, decode
from tests.live.report import Report
from tests.scenarios.stage import TIMES

pytestmark = pytest.mark.live

KILLS = int(os.environ.get("CCW_KILLS", "2"))
"""Of the service and of the switch in turn."""

LONGEST = 6.0
"""Seconds after the second coach came in which the kill comes: the switch writes a buffer about every four."""

FOR_NOW = ("track_open", "busy")
"""Reasons with which it is tried again."""

HEADER, BYTES = 44, 2 * 2 * 8000
"""Of a raw track of a call: in front of the sound, and in a second of it."""

LOST = 0.25
"""Seconds of what was on the disk that may not be in the file: the encoder's last frame."""

PATIENCE = 170.0
"""Seconds. What a killed switch wrote is looked at when it has not changed for half a minute."""


@pytest.fixture
def stage(freeswitch: Path) -> Iterator[Stage]:
    """A switch and a service of one's own, which both may be killed."""
    with PrivateNode(binary=freeswitch) as node, Stage(node, TIMES + RECORDED) as stage:
        yield stage


def started(stage: Stage) -> dict[str, float]:
    """The recordings that left a trace on the disk, and how many seconds of their calls are there."""
    folder = stage.service.directory / "var" / "recordings"
    found = {path.stem: 0.0 for path in folder.glob("journal/*.jsonl")}
    found |= {name: 0.0 for path in folder.glob("raw/*.wav") if (name := recording_of(path.name))}
    for name in found:
        with contextlib.suppress(FileNotFoundError):  # made and gone meanwhile, or never begun
            size = (folder / "raw" / f"{name}-call.wav").stat().st_size
            found[name] = max(0, size - HEADER) / BYTES
    return found


def ring(stage: Stage, agent: str, caller: str) -> None:
    """A caller dials, and nobody waits for what becomes of it."""
    stage.phone(agent, stage.tone("agent"))
    stage.caller_phone(caller).dial(f"20{agent[-2:]}")


def until_killed(stage: Stage, chance: random.Random) -> tuple[Scene, float]:
    """Three calls: one is whispered on, and two begin about when the kill comes. The moment, in seconds after that."""
    scene = stage.call("1001")
    stage.coach("carla", scene, "whisper")
    moment = chance.uniform(0, LONGEST)
    scene.caller.wait_time(scene.caller.mark() + int(max(moment - 2, 0) * 1e9))
    ring(stage, "1002", "second")
    scene.caller.wait_time(scene.caller.mark() + int(min(moment, 1) * 1e9))
    ring(stage, "1003", "caller")
    scene.caller.wait_time(scene.caller.mark() + int(chance.uniform(0, 1) * 1e9))
    return scene, moment


def finish(stage: Stage) -> None:
    """Everybody hangs up, also on a switch that knows nothing of his call any more."""
    for phone in stage.bank.phones:
        for call in phone.calls:
            if call.state != "ended":
                with contextlib.suppress(PhoneError):
                    call.hangup()


def is_done(view: dict[str, Any]) -> bool:
    """Whether it is finished, or never will be, and it says why."""
    failed = view["state"] == "failed" and view["problem"]["code"] not in FOR_NOW
    return bool(view["state"] == "ready" or failed)


@pytest.mark.timeout(300 + 60 * KILLS)
def test_none_that_had_a_start_is_lost(stage: Stage, report: Report) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    known: dict[str, float] = {}
    for victim in ("service", "switch") * (KILLS // 2):
        scene, moment = until_killed(stage, chance)
        said = f"seed {seed}, the {victim} after {moment:.2f} s"
        if victim == "service":
            stage.service.kill()
            known |= started(stage)
            stage.service.start()
            stage.forget_connections()
            scene.caller.wait_received(50)
            known |= started(stage)
            finish(stage)
        else:
            stage.node.kill()
            known |= started(stage)
            stage.node.start()
            finish(stage)
            wait_until("the service has the switch", lambda: stage.desk().ask("GET", "/health")["status"] == "ok", 30)
        wait_until(f"no calls are left: {said}", lambda: not stage.calls(), 30)
        stage.forget_calls()
    reviewer = stage.service.api("rita", permissions=[REVIEW])
    listed: dict[str, dict[str, Any]] = {}

    def all_done() -> bool:
        listed.update((each["id"], each) for each in reviewer.ask("GET", "/recordings", limit=200)["recordings"])
        return all(recording in listed and is_done(listed[recording]) for recording in known)

    try:
        wait_until("all are done", all_done, PATIENCE + 5 * KILLS)
    except AssertionError:
        lost = {each: listed.get(each) for each in known if each not in listed or not is_done(listed[each])}
        pytest.fail(f"LOST, {said}: {lost}", pytrace=False)
    reviewer.close()
    ready = [name for name in known if listed[name]["state"] == "ready"]
    archive = stage.service.directory / "var" / "recordings" / "archive"
    for name in ready:
        [file] = archive.rglob(f"{name}.mp4")
        sound, rate = decode(file)[0]
        assert len(sound) / rate > known[name] - LOST, f"of {name} {known[name]:.1f} s were on the disk: {said}"
    assert len(known) >= 2 * KILLS, f"the kills came before there was anything: {said}"
    reasons = [listed[name]["problem"]["code"] for name in known if listed[name]["state"] == "failed"]
    report.say("Recordings and kills", f"{len(known)} recordings had a start: {len(ready)} finished, "
                                       f"{len(reasons)} listed with the reason {sorted(reasons)}")  # fmt: skip
