"""What a recording holds: each voice in its own track, and nothing of a whisper where the caller's is.

The fixture `recording_stage` brings a service whose policies want every call recorded, and coaches apart from it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from tests.scenarios.calls import alone_in_the_queue
from tests.scenarios.stage import Coach, Refused, Scene, Stage, wait_until

RECORDED: Final = """[coaching]
lease_seconds = 60
[queue.default]
record = true
record_whisper = "separate"
"""
"""Of the service's configuration. It may take a while to start again, and nobody is to be dropped meanwhile."""

RATE: Final = 8000
LOUD: Final = -30.0
CLEAN: Final = -80.0
"""dBFS that a voice is above where it must be heard, and below where it must not."""

MIXED: Final = -60.0
"""The latter where several speak at a time: their sum is rounded anew, which sounds a little of everything."""

VOICES: Final = ("caller", "second", "agent", "colleague", "carla", "dora", "beep")

TALK: Final = 1.6
"""Seconds that somebody has to be heard in a mode."""

NEAR: Final = 0.04
"""Seconds by which a track may begin or end beside the gate."""

Float = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class Tape:
    """All that is written of the recording of one call while it is up. The files are linked: they are still there when
    the worker has made one of them."""

    def __init__(self, stage: Stage, scene: Scene, kept: Path) -> None:
        self._stage = stage
        self._kept = kept
        self._folder = stage.service.directory / "var" / "recordings"
        self.id = str(wait_until("the call is recorded", lambda: recording(stage, scene), 10)["id"])

    def keep(self) -> None:
        """What has come to be since."""
        for folder in ("journal", "raw"):
            for path in (self._folder / folder).glob(f"{self.id}*"):
                if not (self._kept / path.name).exists():
                    os.link(path, self._kept / path.name)

    def lines(self, what: str = "") -> list[dict[str, Any]]:
        """The journal, or its lines of a kind."""
        text = (self._kept / f"{self.id}.jsonl").read_text() if (self._kept / f"{self.id}.jsonl").exists() else ""
        found = [json.loads(line) for line in text.splitlines()]
        return [line for line in found if what in ("", line["what"])]

    def wait_line(self, what: str, count: int = 1, **fields: Any) -> list[dict[str, Any]]:
        """Wait until the journal has so many lines of a kind."""

        def found() -> list[dict[str, Any]]:
            self.keep()
            lines = [line for line in self.lines(what) if fields.items() <= line.items()]
            return lines if len(lines) >= count else []

        return list(wait_until(f"{count} lines of {what} {fields} in the journal", found, 10))

    def over(self, scene: Scene) -> None:
        """The caller hangs up. Waits until all files are closed."""
        self.keep()
        scene.caller.hangup()
        self.wait_line("stop")
        begun = len(self.lines("begun"))
        self.wait_line("ended", begun)

    def began(self, file: str) -> float:
        return self._at("begun", file)

    def _at(self, what: str, file: str) -> float:
        (at,) = {line["at"] for line in self.lines(what) if line["file"] == file}
        return float(at)

    def track(self, file: str) -> Float:
        """A file's channels. After a crash of the switch its header is wrong, so it is read to its end."""
        raw = (self._kept / file).read_bytes()
        channels = int.from_bytes(raw[22:24], "little")
        samples = np.frombuffer(raw[44 : len(raw) - len(raw) % (2 * channels)], np.int16)
        return (samples.astype(np.float64) / 32768).reshape(-1, channels)

    def files(self, coach: Coach) -> list[str]:
        """Those of a coach."""
        session = coach.session
        named = [line["file"] for line in self.lines("coach") if line["session"] == session and line["file"]]
        return list(dict.fromkeys(named))

    # --- what is in it -----------------------------------------------------------------------------------------------

    def heard(self, since: float, until: float) -> list[dict[str, float]]:
        """What each side of the call's track holds of each voice in a stretch of time, in dBFS."""
        file = f"{self.id}-call.wav"
        sound, begin = self.track(file), self.began(file)
        part = sound[max(0, int((since - begin) * RATE)) : int((until - begin) * RATE)]
        assert len(part) > 0.5 * (until - since) * RATE, "the track is shorter than the call was"
        return [self._voices(part[:, side]) for side in (0, 1)]

    def short(self, file: str) -> float:
        """How many seconds of sound a track lacks: a phone of ours that slipped on a busy machine."""
        return max(0.0, self._at("ended", file) - self.began(file) - len(self.track(file)) / RATE)

    def spoke(self, coach: Coach) -> list[tuple[float, float]]:
        """When a coach's tracks hold anything, in seconds since the epoch."""
        found: list[tuple[float, float]] = []
        for file in self.files(coach):
            sound, begin = self.track(file)[:, 0], self.began(file)
            size = RATE // 100
            loud = np.abs(sound[: len(sound) // size * size]).reshape(-1, size).max(axis=1) > 1e-4
            edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(int)))
            found += [(begin + a / 100, begin + b / 100) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        return found

    def open(self, coach: Coach) -> list[tuple[float, float]]:
        """When his gate was open while nobody had paused, as the journal says."""
        found, since, gate, paused = [], None, "closed", False
        for line in sorted(self.lines(), key=lambda line: line["at"]):
            if line["what"] == "gate" and line["session"] == coach.session:
                gate = line["gate"]
            elif line["what"] == "left" and line["session"] == coach.session:
                gate = "closed"
            elif line["what"] == "pause":
                paused = line["paused"]
            speaks = gate != "closed" and not paused
            if speaks and since is None:
                since = line["at"]
            elif not speaks and since is not None:
                found.append((since, line["at"]))
                since = None
        return found

    def only_whispers(self, coach: Coach, count: int) -> None:
        """His tracks hold his voice while somebody hears him, from end to end, and nothing else at any time."""
        spans = self.open(coach)
        near = NEAR + max(map(self.short, self.files(coach)))
        assert len(spans) == count, spans
        for begin, end in self.spoke(coach):
            assert any(a - near <= begin and end <= b + near for a, b in spans), (begin, end, spans)
        for a, b in spans:
            spoken = sum(min(end, b) - max(begin, a) for begin, end in self.spoke(coach) if begin < b and end > a)
            assert spoken > b - a - 3 * near, (a, b, self.spoke(coach))
        for begin, end in self.spoke(coach):
            if end - begin > TALK / 2:
                heard_alone(self._voices(self._cut(coach, begin + NEAR, end - NEAR)), coach.name)

    def _cut(self, coach: Coach, since: float, until: float) -> Float:
        """A stretch of a coach's tracks; it is all in one of them."""
        begun = [(self.began(file), file) for file in self.files(coach)]
        begin, file = max(each for each in begun if each[0] <= since)
        return self.track(file)[int((since - begin) * RATE) : int((until - begin) * RATE), 0]

    def _voices(self, sound: Float) -> dict[str, float]:
        return {name: level(sound, self._stage.pitch(name)) for name in VOICES}


def level(sound: Float, pitch: float) -> float:
    """Of a tone, in dBFS, as it is for most of the time: where a phone of ours slips by a frame on a busy machine,
    there is a little of every tone for a moment. A quarter of a second tells a tone from the third harmonic of another,
    which G.711 adds."""
    size = min(len(sound), RATE // 4)
    window = np.hanning(size)
    wave = np.exp(-2j * np.pi * pitch / RATE * np.arange(size)) * window * 2 / np.sum(window)
    parts = [abs(np.sum(sound[at : at + size] * wave)) for at in range(0, len(sound) - size + 1, size // 2)]
    return 20 * float(np.log10(max(float(np.median(parts)), 1e-10)))


def recording(stage: Stage, scene: Scene) -> dict[str, Any] | None:
    """What the API says of a call's recording."""
    found = next((call["recording"] for call in stage.calls() if call["id"] == scene.id), None)
    return dict(found) if found else None


def heard_alone(levels: dict[str, float], *names: str) -> None:
    """These are heard, and no trace of anybody else."""
    limit = MIXED if len(names) > 1 else CLEAN
    for name, found in levels.items():
        if name in names:
            assert found > LOUD, (name, levels)
        else:
            assert found < limit, (name, levels)


def talked(seconds: float = TALK) -> tuple[float, float]:
    """A stretch of time in which nothing changes, and which has passed: without its ends, in which something may be on
    its way. On a busy machine our phones send too little, and what a file holds is late by as much."""
    time.sleep(seconds)
    now = time.time()
    return now - 0.75 * seconds, now - 0.3 * seconds


def ask(stage: Stage, scene: Scene, what: str) -> dict[str, Any]:
    """Pause or resume, as a supervisor."""
    return dict(stage.desk().ask("POST", f"/calls/{scene.id}/recording/{what}")["recording"])


@pytest.fixture
def stage(recording_stage: Stage, on_stage: Callable[..., Iterator[Stage]]) -> Iterator[Stage]:
    """A stage on which calls are recorded."""
    yield from on_stage(recording_stage)


def test_each_voice_is_in_its_own_track(stage: Stage, tmp_path: Path) -> None:
    scene = stage.call()
    tape = Tape(stage, scene, tmp_path)
    tape.wait_line("begun")
    quiet = talked()
    carla, dora = stage.coach("carla", scene), stage.coach("dora", scene)
    assert {carla.view()["recorded"], dora.view()["recorded"]} == {"recorded"}
    carla.mode("whisper")
    whispered = talked()
    dora.mode("barge")
    both = talked()
    carla.mode("listen")
    barged = talked()
    scene.agent.hold()
    held = talked()
    scene.agent.unhold()
    wait_until("dora is heard again", lambda: dora.view()["gate"] == "everyone")
    dora.mode("listen")
    after = talked()
    for coach in (carla, dora):
        coach.leave()
    tape.over(scene)
    for stretch, hears in ((quiet, ()), (whispered, ()), (both, ("dora",)), (barged, ("dora",)), (after, ())):
        said, heard = tape.heard(*stretch)
        heard_alone(said, "caller", *_same_pitch(stage, "caller"))
        heard_alone(heard, "agent", *hears)
    assert max(tape.heard(*held)[1].values()) < CLEAN
    tape.only_whispers(carla, 1)
    tape.only_whispers(dora, 2)
    assert [line["held"] for line in tape.lines("hold")] == [True, False]
    assert {line["session"] for line in tape.lines("beep")} == {carla.session}


def _same_pitch(stage: Stage, name: str) -> list[str]:
    """Who cannot be told from him: on the simulator the caller's tone is the beep's."""
    return [other for other in ("beep",) if stage.pitch(other) == stage.pitch(name)]


def test_a_pause_is_silence_in_all_tracks_and_time_goes_on(stage: Stage, tmp_path: Path) -> None:
    scene = stage.call()
    tape = Tape(stage, scene, tmp_path)
    carla = stage.coach("carla", scene, "whisper")
    before = talked()
    assert ask(stage, scene, "pause")["paused"]
    card = talked()
    paused = {"id": tape.id, "paused": True, "paused_by": "Desk", "failed": False}
    assert recording(stage, scene) == paused
    tape.wait_line("pause")
    stage.service.kill()
    stage.service.start()
    stage.forget_connections()
    wait_until("carla is where she was", lambda: carla.view()["settled"], 10)
    assert recording(stage, scene) == paused
    more = talked()
    assert not ask(stage, scene, "resume")["paused"]
    after = talked()
    carla.leave()
    tape.over(scene)
    for stretch, parties in ((before, ("caller", "agent")), (card, ()), (more, ()), (after, ("caller", "agent"))):
        for side, names in zip(tape.heard(*stretch), (parties[:1], parties[1:]), strict=True):
            heard_alone(side, *names, *(_same_pitch(stage, "caller") if "caller" in names else ()))
    tape.only_whispers(carla, 2)
    assert [line["paused"] for line in tape.lines("pause")] == [True, True, False], "each service says it"


def test_a_transfer_and_a_take_over_stay_in_one_recording(stage: Stage, tmp_path: Path) -> None:
    scene = stage.call()
    tape = Tape(stage, scene, tmp_path)
    carla = stage.coach("carla", scene, "whisper")
    first = talked()
    colleague = stage.phone_of("1002", "colleague")
    scene.agent.refer("1002")
    colleague.wait_call().wait("up")
    wait_until("carla is with the colleague", lambda: carla.view()["agent"] == "1002" and carla.view()["settled"], 10)
    carla.mode("barge")
    second = talked()
    carla.take_over()
    wait_until("carla has the caller", lambda: carla.view()["phase"] == "ended", 10)
    third = talked()
    [taken] = wait_until("the call is hers", lambda: [each for each in stage.calls() if hers(each, carla)], 10)
    now = replace(scene, id=taken["id"])
    assert ask(stage, now, "pause")["paused"]
    card = talked()
    assert not ask(stage, now, "resume")["paused"]
    fourth = talked()
    tape.over(scene)
    assert [max(side.values()) < CLEAN for side in tape.heard(*card)] == [True, True]
    same = _same_pitch(stage, "caller")
    alone = [(third, ["carla"]), (fourth, ["carla"])]
    for stretch, hears in ((first, ["agent"]), (second, ["colleague", "carla"]), *alone):
        said, heard = tape.heard(*stretch)
        heard_alone(said, "caller", *same)
        heard_alone(heard, *hears)
    tape.only_whispers(carla, 2)
    assert [line["agent"] for line in tape.lines("party")] == ["1001", "1002", "carla"]
    assert [line["reason"] for line in tape.lines("left")] == ["taken_over"]


def hers(call: dict[str, Any], coach: Coach) -> bool:
    """Whether a coach has taken it over."""
    return [each["agent"] for each in call["agents"]] == [coach.name]


def test_a_service_that_dies_and_starts_again_goes_on_with_it(stage: Stage, tmp_path: Path) -> None:
    scene = stage.call()
    tape = Tape(stage, scene, tmp_path)
    carla = stage.coach("carla", scene, "whisper")
    tape.wait_line("gate", gate="agent")
    tape.wait_line("begun", 2)  # the switch says so a moment later
    stage.service.kill()
    alone = talked()
    stage.service.start()
    stage.forget_connections()
    wait_until("carla is where she was", lambda: carla.view()["settled"], 10)
    assert carla.view()["recorded"] == "recorded"
    assert recording(stage, scene) == {"id": tape.id, "paused": False, "paused_by": None, "failed": False}
    carla.mode("listen")
    after = talked()
    carla.leave()
    tape.over(scene)
    for stretch in (alone, after):
        said, heard = tape.heard(*stretch)
        heard_alone(said, "caller", *_same_pitch(stage, "caller"))
        heard_alone(heard, "agent")
    tape.only_whispers(carla, 1)
    assert len(tape.lines("start")) == len(tape.lines("stop")) == 1


def test_what_a_policy_excludes_is_never_recorded(stage: Stage, tmp_path: Path) -> None:
    admin = stage.service.api("ada", permissions=["edit_coaching_policies"])
    try:
        admin.ask("PUT", "/policies/default", {"record_whisper": "excluded"})
        scene = stage.call()
        tape = Tape(stage, scene, tmp_path)
        carla = stage.coach("carla", scene, "whisper")
        assert carla.view()["recorded"] == "excluded"
        talked()
        carla.leave()
        tape.over(scene)
        admin.ask("PUT", "/policies/default", {"record": False})
        other = stage.call("1002", caller_name="second", agent_name="colleague")
        assert recording(stage, other) is None
        with pytest.raises(Refused) as refusal:
            ask(stage, other, "pause")
        assert refusal.value.code == "not_recorded"
    finally:
        admin.ask("DELETE", "/policies/default")
        admin.close()
    assert [line["file"] for line in tape.lines("coach")] == [None]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{tape.id}-call.wav", f"{tape.id}.jsonl"]


def test_what_a_queue_excludes_stays_so_when_its_caller_is_transferred_to_an_extension(
    stage: Stage, tmp_path: Path
) -> None:
    queue = "support@default"
    admin = stage.service.api("ada", permissions=["edit_coaching_policies"])
    admin.ask("PUT", f"/policies/{queue}", {"record_whisper": "excluded"})
    try:
        with alone_in_the_queue(stage):
            scene = stage.call("1001", number="5000")
        tape = Tape(stage, scene, tmp_path)
        carla = stage.coach("carla", scene, "whisper")
        assert carla.view()["recorded"] == "excluded"
        colleague = stage.phone_of("1002", "colleague")
        scene.agent.refer("1002")
        colleague.wait_call().wait("up")
        wait_until("carla has gone along", lambda: carla.view()["agent"] == "1002" and carla.view()["settled"], 10)
        [call] = stage.calls()
        assert call["queue"] is None
        dora = stage.coach("dora", replace(scene, id=call["id"]), "whisper")
        assert {carla.view()["recorded"], dora.view()["recorded"]} == {"excluded"}
        talked()
        for coach in (carla, dora):
            coach.leave()
        tape.over(scene)
    finally:
        admin.ask("DELETE", f"/policies/{queue}")
        admin.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{tape.id}-call.wav", f"{tape.id}.jsonl"]
    assert len(tape.lines("stop")) == 1
