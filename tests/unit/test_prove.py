"""What `ccwhisper prove` does without a switch: whose legs it touches, what it makes of what it found, its page."""

from __future__ import annotations

import ast
import json
import re
import time
import wave
import zlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ccwhisper.config import ConfigError
from ccwhisper.proof.scene import BEEP, TONES, Fault
from ccwhisper.proof.tones import level_dbfs
from ccwhisper.prove.browser import PageCall
from ccwhisper.prove.config import site_from
from ccwhisper.prove.findings import KINDS, Gravity
from ccwhisper.prove.judge import kind_of, slight
from ccwhisper.prove.measure import beep_dbfs, course, longest_silence, spectrogram
from ccwhisper.prove.own import NotOurs, OwnLegs, bugs_of
from ccwhisper.prove.page import page
from ccwhisper.prove.pictures import spectrogram_png
from ccwhisper.prove.record import Record
from ccwhisper.prove.recording import read
from tests.unit.sample_record import pictures, sample

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]


# --- whose legs ------------------------------------------------------------------------------------------------------


class Switch:
    """The few answers that the legs are known by. `asked` is every command that reached it."""

    def __init__(self, legs: dict[str, dict[str, str]]) -> None:
        self.legs = legs
        self.asked: list[str] = []

    def __call__(self, command: str) -> str:
        self.asked.append(command)
        word, _, rest = command.partition(" ")
        leg, _, more = rest.partition(" ")
        if word == "show":
            return json.dumps({"rows": [{"uuid": name} for name in self.legs]} if self.legs else {"row_count": 0})
        if word == "uuid_getvar":
            return self.legs[leg].get(f"variable_{more}", "_undef_")
        if word == "uuid_dump":
            return json.dumps(self.legs[leg]) if leg in self.legs else "-ERR No such channel!"
        return "+OK"


def call(call_id: str) -> Any:
    return SimpleNamespace(call_id=call_id)


@pytest.fixture
def switch() -> Switch:
    return Switch(
        {
            "theirs": {"variable_sip_call_id": "x"},
            "caller": {"variable_sip_call_id": "a"},
            "agent": {"variable_sip_call_id": "b", "variable_cc_member_session_uuid": "caller"},
            "intruder": {"variable_sip_call_id": "c", "Other-Leg-Unique-ID": "theirs"},
        }
    )


def test_a_leg_of_others_is_told_nothing(switch: Switch) -> None:
    own = OwnLegs(switch)
    assert own.claim(call("a")) == "caller"
    own.tell("uuid_record", "caller", "start", "/tmp/x.wav")
    before = list(switch.asked)
    for leg in ("theirs", "agent", "", "all"):
        with pytest.raises(NotOurs):
            own.tell("uuid_kill", leg)
        with pytest.raises(NotOurs):
            own.dump(leg)
        with pytest.raises(NotOurs):
            own.attached(leg)
    for one, other in (("caller", "theirs"), ("theirs", "caller")):
        with pytest.raises(NotOurs):
            own.bridge(one, other)
    for command in ("uuid_bridge", "uuid_transfer", "hupall", "uuid_displace"):
        with pytest.raises(NotOurs):
            own.tell(command, "caller")
    assert switch.asked == before


def test_a_call_is_answered_when_it_was_made_for_a_leg_of_ours(switch: Switch) -> None:
    own = OwnLegs(switch)
    own.claim(call("a"))
    assert own.made_for_ours(call("b"))
    assert own.uuids == ["caller", "agent"]
    assert not own.made_for_ours(call("c"))
    assert own.uuids == ["caller", "agent"]


def test_only_what_is_left_of_ours_is_hung_up(switch: Switch) -> None:
    own = OwnLegs(switch)
    own.claim(call("a"))
    own.made_for_ours(call("b"))
    del switch.legs["agent"]
    switch.asked.clear()
    assert own.hang_up() == ["caller"]
    assert [each for each in switch.asked if not each.startswith("show")] == ["uuid_kill caller"]


def test_a_leg_that_was_called_is_hung_up_even_if_its_phone_never_heard_of_it(switch: Switch) -> None:
    own = OwnLegs(switch)
    leg = own.originate("sofia/trunk/sip:caller@127.0.0.1:5062")
    assert own.hang_up() == []
    switch.legs[leg] = {}
    assert own.hang_up() == [leg]


def test_what_hangs_on_a_leg() -> None:
    listing = (
        "<media-bugs><media-bug><function>session_record</function><target>/r/x.wav</target></media-bug></media-bugs>"
    )
    assert bugs_of(listing) == [("session_record", "/r/x.wav")]
    assert bugs_of("-ERR Cannot locate session!") == []


# --- the configuration -----------------------------------------------------------------------------------------------

TOML = """
[[node]]
name = "fs1"
password_env = "ESL"
[prove]
domain = "example.org"
phones = "10.0.0.5:5060"
trunk = "10.0.0.5:5080"
number = "5000"
caller = { user = "+4930123" }
agent = { user = "1099", password_env = "AGENT", codecs = ["PCMA"] }
coach = { user = "9099", password_env = "COACH" }
"""
SECRETS = {"ESL": "esl-secret", "AGENT": "agent-secret", "COACH": "coach-secret"}


def config(tmp_path: Path, text: str = TOML) -> Path:
    path = tmp_path / "ccwhisper.toml"
    path.write_text(text)
    return path


def test_a_site_of_the_section(tmp_path: Path) -> None:
    site = site_from(config(tmp_path), SECRETS)
    assert (site.host, site.esl_port, site.sip_host, site.phones_port, site.trunk_port) == (
        "127.0.0.1", 8021, "10.0.0.5", 5060, 5080
    )  # fmt: skip
    assert (site.agent.user, site.agent.codecs, site.phone_secret("1099")) == ("1099", ("PCMA",), "agent-secret")
    assert site.caller.password is None
    assert not [secret for secret in SECRETS.values() if secret in repr(site)]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("[prove]", "[never]", "key_unknown"),
        (TOML[TOML.index("[prove]") :], "", "key_missing"),
        ('user = "9099"', 'user = "1099"', "user_twice"),
        ('trunk = "10.0.0.5:5080"', "", "key_missing"),
        ('trunk = "10.0.0.5:5080"', 'trunk = "10.0.0.6:5080"', "value_invalid"),
        (', password_env = "COACH"', "", "key_missing"),
        ('"COACH"', '"ELSE"', "secret_missing"),
        ('number = "5000"', 'number = "5000; hupall"', "value_invalid"),
        ("[prove]", '[prove]\nnode = "fs2"', "value_invalid"),
    ],
)
def test_mistakes_in_the_section(tmp_path: Path, old: str, new: str, code: str) -> None:
    assert old in TOML
    with pytest.raises(ConfigError) as error:
        site_from(config(tmp_path, TOML.replace(old, new)), SECRETS)
    assert code in {problem.code for problem in error.value.problems}


# --- what is made of it ----------------------------------------------------------------------------------------------


def test_the_verdict_is_that_of_the_gravest() -> None:
    record = Record()
    assert record.verdict == "passed"
    record.find("jitter-buffer.missing", "call", "")
    assert record.passed
    assert record.check("a", "A", "a", 0).verdict == "warned"
    record.find("frames.lost", "speech", "")
    assert record.verdict == "failed"
    failed = record.check("b", "B", "as it should be", 0)
    assert (failed.verdict, "as it should be" in failed.answer) == ("failed", False)
    assert record.check("c", "C", "c", 2).verdict == "passed"
    record.find("leak.on-hold", "hold", "")
    record.find("leak.on-hold", "hold", "once more")
    assert record.verdict == "leaks"
    assert len(record.findings) == 3


def test_every_kind_of_finding_is_found_somewhere_and_described() -> None:
    words = set()
    for path in (ROOT / "ccwhisper/prove").glob("*.py"):
        if path.name != "findings.py":
            tree = ast.parse(path.read_text())
            words |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert [kind for kind in KINDS if kind not in words] == []
    described = re.findall(r"^\| `([a-z-]+\.[a-z-]+)` \| (\w+) \|", (ROOT / "docs/prove.md").read_text(), re.MULTILINE)
    assert dict(described) == {kind.id: kind.gravity.value for kind in KINDS.values()}


def test_the_looks_are_summed_up() -> None:
    for leaky, verdict in ((False, "passed"), (True, "failed")):
        record = sample(leaky)
        record.sum_up()
        first = record.checks[0]
        assert (first.id, first.verdict, first.figures) == ("matrix", verdict, {"looks": 2, "wrong": int(leaky)})
        assert ("whisper" in first.answer) == leaky


def fault(listener: str, name: str, level: float, must: bool = False) -> Fault:
    return Fault(listener, name, level, -16.0 if must else -50.0, must)


@pytest.mark.parametrize(
    ("seen", "leaks", "kind"),
    [
        (fault("caller", "carla", -16), "", "leak.caller-hears-coach"),
        (fault("caller", "carla", -16), "leak.next-caller", "leak.next-caller"),
        (fault("caller", "beep", -16), "leak.next-caller", "leak.caller-hears-beep"),
        (fault("agent", "carla", -16), "keypad.moved-gate", "keypad.moved-gate"),
        (fault("agent", "carla", -90, must=True), "", "whisper.not-heard"),
        (fault("caller", "carla", -90, must=True), "", "barge.not-heard"),
        (fault("caller", "agent", -90, must=True), "", "party.not-heard"),
        (fault("carla", "caller", -90, must=True), "", "coach.hears-nobody"),
        (fault("carla", "beep", -16), "", ""),
    ],
)
def test_which_finding_a_fault_is(seen: Fault, leaks: str, kind: str) -> None:
    assert kind_of(seen, leaks) == kind


def test_what_is_worth_another_look() -> None:
    """A trace is; somebody who is heard, or not heard at all, is wrong at once."""
    trace, level = fault("caller", "carla", -62), fault("agent", "caller", -22, must=True)
    assert slight([trace])
    assert slight([trace, level])
    assert not slight([])
    assert not slight([level])
    assert not slight([trace, fault("caller", "carla", -16)])
    assert not slight([level, fault("agent", "caller", -90, must=True)])


class Reader(HTMLParser):
    """What a page holds: its elements, and the cells of the matrix."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.cells: dict[tuple[str, str, str], float] = {}
        self._cell: tuple[str, str, str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found))
        if "data-step" in found:
            self._cell = tuple(str(found[f"data-{each}"]) for each in ("step", "listener", "speaker"))  # type: ignore[assignment]

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self.cells[self._cell], self._cell = float(data), None


@pytest.mark.parametrize("leaky", [False, True])
def test_the_page_shows_the_record_and_needs_nothing_else(leaky: bool) -> None:
    record = sample(leaky).plain()
    text = page(record, pictures())
    found = Reader(text)
    assert found.cells == {
        (look["step"], listener, speaker): level
        for look in record["looks"]
        for listener, heard in look["levels"].items()
        for speaker, level in heard.items()
    }
    inside = re.search(r'<script type="application/json" id="record">(.*?)</script>', text, re.DOTALL)
    assert inside
    assert json.loads(inside[1]) == json.loads(json.dumps(record))
    for tag, attributes in found.elements:
        assert tag not in ("iframe", "object", "embed")
        assert tag != "script" or attributes["type"] == "application/json"
        for name, value in attributes.items():
            assert name not in ("src", "href") or str(value).startswith("data:"), (tag, value)
    assert "url(" not in text
    assert "@import" not in text
    assert "<must not>" not in text
    for finding in record["findings"]:
        assert finding["id"] in text
        assert finding["gravity"] in {each.value for each in Gravity}
    assert ("It leaks" in text) == leaky


def test_a_record_that_ended_early_has_a_page() -> None:
    record = Record()
    record.find("call.not-delivered", "call", "5000 did not reach 1001")
    assert "5000 did not reach 1001" in page(record.plain(), {})


def test_the_picture_is_a_png_of_those_levels() -> None:
    levels = np.array([[-120.0, -90.0], [-52.0, 0.0], [-14.0, -90.0]])
    head, _, content = spectrogram_png(levels).partition(",")
    assert head == "data:image/png;base64"
    png = b64decode(content)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert zlib.crc32(kind + body) == int.from_bytes(png[at + 8 + size : at + 12 + size])
        chunks[kind], at = body, at + 12 + size
    assert (int.from_bytes(chunks[b"IHDR"][:4]), int.from_bytes(chunks[b"IHDR"][4:8])) == (2, 3)
    assert zlib.decompress(chunks[b"IDAT"]) == bytes([0, 0, 0, 0, 64, 127, 0, 127, 0])


# --- what is measured ------------------------------------------------------------------------------------------------


def wave_of(*parts: tuple[float, float, float], rate: int = 8000) -> Any:
    """Tones of (frequency, dBFS, seconds), one after another."""
    return np.concatenate(
        [10 ** (level / 20) * np.sin(2 * np.pi * freq * np.arange(int(rate * s)) / rate) for freq, level, s in parts]
    )


def test_a_course_follows_the_tones() -> None:
    levels = course(wave_of((1091, -16, 1), (1597, -30, 1)), 8000, {"agent": 1091, "coach": 1597})
    assert len(levels["agent"]) == len(levels["coach"]) == 20
    assert levels["agent"][:9] == pytest.approx([-16] * 9, abs=0.1)
    assert levels["coach"][10:] == pytest.approx([-30] * 10, abs=0.1)
    assert max(levels["coach"][:9]) < -70
    assert course(np.zeros(10), 8000, {"agent": 1091}) == {"agent": []}


def test_a_beep_is_told_from_a_click() -> None:
    def call(samples: Any) -> Any:
        def heard(since: int, until: int) -> Any:
            return samples[since * 8 // 10**6 : until * 8 // 10**6]

        return SimpleNamespace(rate=8000, wait_time=lambda until: None, heard=heard)

    speech = wave_of((TONES["agent"], -16, 0.4))
    end = 400_000_000
    assert beep_dbfs(call(speech), 0, end) < -80
    beep = speech.copy()
    beep[800:2400] += wave_of((BEEP, -60, 0.2))
    assert beep_dbfs(call(beep), 0, end) == pytest.approx(-60, abs=0.5)
    click = speech.copy()
    click[800:960] = 0
    assert level_dbfs(click[400:1200], BEEP, 8000) > -60
    assert beep_dbfs(call(click), 0, end) < -80


def test_how_long_nobody_was_heard() -> None:
    assert longest_silence([-16, -40, -16, -40, -40, -40, -16]) == pytest.approx(0.06)
    assert longest_silence([]) == 0


def test_a_spectrogram_has_the_tone_at_its_height() -> None:
    for rate in (8000, 16000):
        levels = spectrogram(wave_of((1000, -16, 2), rate=rate), rate)
        assert levels.shape[0] == 128
        assert levels.shape[1] <= 721
        row = int(np.argmax(levels[:, levels.shape[1] // 2]))
        assert (127 - row) * 4000 / 128 == pytest.approx(1000, abs=32)
        assert float(levels.max()) == pytest.approx(-16, abs=1.5)


def recorded(path: Path, *tracks: Any) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(tracks))
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((np.stack(tracks, axis=1) * 32767).astype("<i2").tobytes())
    return path


def test_a_recording_is_heard_track_by_track(tmp_path: Path) -> None:
    caller = wave_of((TONES["caller"], -16, 2))
    agent = wave_of((TONES["agent"], -16, 1), (TONES["carla"], -20, 0.6), (BEEP, -20, 0.4))
    heard = read(recorded(tmp_path / "a.wav", caller, agent))
    assert heard.loudest["caller"] == pytest.approx(-16, abs=0.2)
    assert heard.loudest["carla"] == pytest.approx(-20, abs=0.2)
    assert heard.seconds["carla"] == pytest.approx(0.6, abs=0.15)
    assert heard.seconds["beep"] == pytest.approx(0.4, abs=0.15)
    assert heard.tracks[0]["carla"] < -60
    early = read(tmp_path / "a.wav", 0.9)
    assert early.seconds["carla"] == early.seconds["beep"] == 0


def test_what_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(wave.Error):
        read(recorded(tmp_path / "empty.wav", np.zeros(0), np.zeros(0)))
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises((wave.Error, EOFError)):
        read(tmp_path / "text.wav")
    with pytest.raises(OSError, match=r"none\.wav"):
        read(tmp_path / "none.wav")


class Ears:
    """A page that has read what it heard in pieces of 10 ms, some of them late; one was never there."""

    def __init__(self, begin: float, late: Sequence[float], missing: int) -> None:
        self._pieces = [
            (begin + 10 * number + 10 + after, 5000.0 + 10 * number, np.full(480, (number + 1) / 100, "<f4"))
            for number, after in enumerate(late)
            if number != missing
        ]

    def evaluate(self, _script: str, given: Sequence[float]) -> dict[str, Any]:
        _, since, until = given
        found = [each for each in self._pieces if since < each[0] < until]
        samples = b64encode(b"".join(piece.tobytes() for _, _, piece in found)).decode()
        return {
            "rate": 48000, "at": [at for at, _, _ in found], "stamps": [stamp for _, stamp, _ in found],
            "sizes": [480] * len(found), "samples": samples,
        }  # fmt: skip


def test_what_a_page_heard_stands_where_it_was_heard() -> None:
    """As late as it was read it was not heard: the stamps tell, and the quickest piece ties them to the clock."""
    mark = time.monotonic_ns()
    begin = (time.time() - time.monotonic()) * 1e3 + mark / 1e6
    call = PageCall(Ears(begin, [25, 0, 8, 40, 3, 0], missing=3), 0, "an id")  # type: ignore[arg-type]
    heard = call.heard(mark, mark + 60_000_000)
    pieces = heard.reshape(6, 480)[:, 48:-48]  # to a millisecond: the two clocks were not read at once
    assert [sorted({round(float(each), 2) for each in piece}) for piece in pieces] == [
        [0.01], [0.02], [0.03], [0.0], [0.05], [0.06],
    ]  # fmt: skip
    assert not call.heard(mark + 600_000_000, mark + 660_000_000).any()
