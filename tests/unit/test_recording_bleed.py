"""The coach's voice found in the call track, of made-up voices over made-up headsets: how loud, how late, and not where
there is none."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from ccwhisper.bench._leak import RATE, Call, Setting, call, coded, voice
from ccwhisper.recording.bleed import Meter, Voice, measure
from ccwhisper.recording.result import Bleed, Span, Trace

pytestmark = pytest.mark.unit

SHORT = Setting(seconds=24.0)


def traces(bleed: Bleed) -> dict[tuple[str, str], Trace]:
    return {(each.session, each.channel): each for each in bleed.traces}


def found(tracks: Call, excused: tuple[Span, ...] = (), threshold: float = -45.0) -> dict[str, Trace]:
    """By channel."""
    bleed = measure(tracks.call, {"s": tracks.coach}, {"s": excused}, threshold)
    assert bleed.threshold == threshold
    return {channel: trace for (_, channel), trace in traces(bleed).items()}


@pytest.mark.parametrize(("level", "delay"), [(-20.0, 0.03), (-30.0, 0.3), (-40.0, 0.08), (-50.0, 0.15), (-60.0, 0.2)])
def test_an_echo_is_found_with_its_level_and_delay(level: float, delay: float) -> None:
    trace = found(call(1, replace(SHORT, level=level, delay=delay)))["agent"]
    assert trace.kind == "acoustic"
    assert trace.level == pytest.approx(level, abs=2)
    assert trace.delay == pytest.approx(1000 * delay, abs=5)
    assert trace.confidence > 0.5
    assert trace.flagged == (level > -45)
    assert trace.at is not None
    assert 0 <= trace.at < 24


@pytest.mark.parametrize(
    "setting",
    [
        SHORT,
        replace(SHORT, noise=-75.0, pause=20.0),
        replace(SHORT, pause=0.05),
        replace(SHORT, line=-12.0),
        replace(SHORT, held=True),
        replace(SHORT, crosstalk=-25.0),
        replace(SHORT, again=0.3),
        replace(SHORT, again=0.0),
    ],
    ids=["talking", "a quiet agent", "an agent who does not stop", "line echo", "music on hold", "loud headsets",
         "the agent says it after the coach", "both say the same at once"],
)  # fmt: skip
def test_where_nothing_leaks_nothing_is_found(setting: Setting) -> None:
    for seed in range(2):
        assert {each.kind for each in found(call(seed, setting)).values()} == {"none"}


def test_an_echo_under_an_agent_who_does_not_stop_talking() -> None:
    trace = found(call(3, replace(SHORT, level=-30.0, pause=0.05)))["agent"]
    assert (trace.kind, trace.level) == ("acoustic", pytest.approx(-30, abs=3))


def test_the_threshold_flags() -> None:
    tracks = call(4, replace(SHORT, level=-50.0))
    assert not found(tracks)["agent"].flagged
    assert found(tracks, threshold=-55.0)["agent"].flagged


def with_copy(tracks: Call, column: int, first: float, last: float, delay: float = 0.02, gain: float = 1.0) -> Call:
    """The coach in a channel, from `first` to `last` s, as a switch would mix him in."""
    late = np.roll(tracks.coach, round(delay * RATE))
    part = slice(round(first * RATE), round(last * RATE))
    mixed = tracks.call.astype(np.float64)
    mixed[part, column] += gain * late[part]
    mixed[:, column] = coded(mixed[:, column])
    return Call(mixed.astype(np.float32), tracks.coach)


@pytest.mark.parametrize(("column", "channel", "other"), [(0, "caller", "agent"), (1, "agent", "caller")])
def test_a_copy_is_routing_and_always_flagged(column: int, channel: str, other: str) -> None:
    traces = found(with_copy(call(5, SHORT), column, 0, 24), threshold=20.0)
    copy = traces[channel]
    assert (copy.kind, copy.flagged) == ("routing", True)
    assert copy.level == pytest.approx(0, abs=1)
    assert copy.delay == pytest.approx(20, abs=1)
    assert traces[other].kind == "none"


def test_a_copy_is_one_though_the_tracks_are_two_frames_apart() -> None:
    copy = found(with_copy(call(5, SHORT), 1, 0, 24, delay=-0.03))["agent"]
    assert (copy.kind, copy.level, copy.delay) == ("routing", pytest.approx(0, abs=1), pytest.approx(-30, abs=1))


def test_a_copy_that_is_not_as_loud_is_one_still() -> None:
    copy = found(with_copy(call(5, SHORT), 1, 0, 24, gain=0.4))["agent"]
    assert (copy.kind, copy.level) == ("routing", pytest.approx(-8, abs=1))


@pytest.mark.parametrize("pause", [0.05, 20.0], ids=["an agent who does not stop", "a quiet agent"])
def test_a_copy_of_a_few_seconds_is_one(pause: float) -> None:
    """Of which a silent agent leaves nothing in the mean of longer moments."""
    for seed in (1, 4):
        tracks = call(seed, replace(SHORT, pause=pause, noise=-75.0, routed=4.0))
        copy = found(tracks)["agent"]
        assert (copy.kind, copy.level, copy.delay) == ("routing", pytest.approx(0, abs=2), pytest.approx(20, abs=1))


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5])
def test_an_agent_who_is_there_for_moments_only(seconds: float) -> None:
    """And digitally silent else: most lags of a block have nothing to be compared with."""
    for seed in range(4):
        tracks = call(seed, SHORT)
        for start in np.arange(0.2, 24, 2 * seconds + 1):
            tracks.call[round(start * RATE) : round((start + seconds + 1) * RATE)] = 0
        assert "routing" not in {each.kind for each in found(tracks).values()}


@pytest.mark.parametrize("level", [0.0, -6.0])
def test_an_echo_as_loud_as_the_voice_is_no_copy(level: float) -> None:
    for seed in range(3):
        echo = found(call(seed, replace(SHORT, level=level, delay=0.08)))["agent"]
        assert (echo.kind, echo.flagged) == ("acoustic", True)


def test_what_the_caller_was_to_hear_is_excused() -> None:
    barged = with_copy(call(6, SHORT), 1, 8, 21)
    assert found(barged, (Span(8, 21),))["agent"].kind == "none"
    assert found(barged)["agent"].kind == "routing"
    assert found(barged, (Span(8, 11),))["agent"].kind == "routing"


def test_the_coach_whose_voice_it_is() -> None:
    leaking = call(7, replace(SHORT, level=-35.0))
    other = coded(voice(np.random.default_rng(99), 24, -20.0))
    result = traces(measure(leaking.call, {"one": leaking.coach, "two": other}))
    assert {key: each.kind for key, each in result.items()} == {
        ("one", "agent"): "acoustic",
        ("one", "caller"): "none",
        ("two", "agent"): "none",
        ("two", "caller"): "none",
    }


def test_the_moment_is_where_it_leaks_most() -> None:
    loud, quiet = call(8, Setting(level=-25.0)), call(8, Setting(level=-45.0))
    half = 30 * RATE
    turned_up = Call(np.concatenate([quiet.call[:half], loud.call[half:]]), loud.coach)
    at = found(turned_up)["agent"].at
    assert at is not None
    assert 28 <= at < 60


def test_an_agent_who_mutes_himself_is_measured_while_he_can_be_heard() -> None:
    tracks = call(9, replace(SHORT, level=-30.0))
    tracks.call[8 * RATE : 16 * RATE, 1] = 0
    trace = found(tracks)["agent"]
    assert (trace.kind, trace.level) == ("acoustic", pytest.approx(-30, abs=2))


def test_an_echo_does_not_come_before_the_voice() -> None:
    """The agent's voice in the coach's headset is no leak of the coach's."""
    tracks = call(10, SHORT)
    tracks.coach[:] += 0.1 * np.roll(tracks.call[:, 1], round(0.1 * RATE))
    assert {each.kind for each in found(tracks).values()} == {"none"}


@pytest.mark.parametrize("said", [np.zeros(24 * RATE), 0.1 * np.sin(np.arange(24 * RATE) * 2 * np.pi * 1597 / RATE)])
def test_silence_and_a_tone_tell_nothing(said: np.ndarray) -> None:
    tracks = call(11, SHORT)
    assert {each.kind for each in found(Call(tracks.call, said.astype(np.float32))).values()} == {"none"}


def test_nothing_at_all() -> None:
    nothing = np.zeros(0, np.float32)
    assert {each.kind for each in found(Call(nothing.reshape(0, 2), nothing)).values()} == {"none"}


def test_in_whatever_blocks_it_comes() -> None:
    tracks = call(12, replace(SHORT, level=-40.0))
    meter = Meter([Voice("s")])
    random = np.random.default_rng(0)
    at = 0
    while at < len(tracks.call):
        end = at + int(random.integers(1, 30_000))
        meter.add(tracks.call[at:end], {"s": tracks.coach[at:end]})
        at = end
    assert meter.done() == measure(tracks.call, {"s": tracks.coach})


def test_memory_does_not_grow_with_the_call() -> None:
    block = call(13, Setting(seconds=4.0, level=-40.0))

    def peak(times: int) -> int:
        meter = Meter([Voice("s")])
        tracemalloc.start()
        for _ in range(times):
            meter.add(block.call, {"s": block.coach})
        meter.done()
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    # The interpreter's own tables grow when they are full, in whatever run that happens to be, and in no later one.
    assert min(peak(36) for _ in range(3)) < 1.05 * min(peak(18) for _ in range(3))
