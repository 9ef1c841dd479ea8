"""`ccwhisper prove` on nodes that are right, and on nodes that are wrong in each way that matters."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from ccwhisper.proof.node import PrivateNode, default_conf
from ccwhisper.proof.phones import PhoneBank
from ccwhisper.proof.scene import LEVEL, TONES
from ccwhisper.proof.service import PROGRAM
from ccwhisper.proof.sources import Tone
from ccwhisper.proof.stage import Stage, wait_until
from ccwhisper.prove.calls import SiteStage
from ccwhisper.prove.node import site_of
from ccwhisper.prove.own import NotOurs
from ccwhisper.prove.record import Record
from ccwhisper.prove.script import PARTS, Script
from ccwhisper.prove.site import Site
from tests.browser.chromium import chromium
from tests.live import misled
from tests.live.test_demo import descendants, directories
from tests.scenarios import matrix

pytestmark = pytest.mark.live


WIDE = ("G722", "PCMU")


def proved(site: Site, *parts: str, fault: str = "") -> Record:
    """A proof on a site, with a fault in the service."""
    program = (sys.executable, misled.__file__, fault) if fault else PROGRAM

    def prove() -> Record:
        with SiteStage(site, program) as stage:
            return Script(stage, parts).run()

    with ThreadPoolExecutor(1) as apart:  # Playwright runs once in a thread, and the tests' own may run in this one
        return apart.submit(prove).result()


def ids(record: Record) -> set[str]:
    return {finding.id for finding in record.findings}


def direct(node: PrivateNode, agent: str = "1001", coach: str = "9001") -> Site:
    """Without the queue, so that nobody on the shared node goes on a break for it."""
    return site_of(node, agent, coach, number=f"20{agent[-2:]}")


# --- a node that is right --------------------------------------------------------------------------------------------


@pytest.mark.timeout(400)
def test_the_whole_of_it_as_a_user_runs_it(freeswitch: Path, tmp_path: Path) -> None:
    html, report = tmp_path / "proof.html", tmp_path / "proof.json"
    command = [*PROGRAM, "prove", "--private", "--json", "--html", str(html), "--report", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=380)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(report.read_text())
    assert json.loads(done.stdout) == record
    assert record["verdict"] == "passed"
    assert [each["id"] for each in record["findings"]] == ([] if chromium() else ["browser.not-checked"])
    checks = {check["id"]: check for check in record["checks"]}
    assert set(checks) == {*PARTS, "legs", "whisper", "barge", "latency"}
    if chromium():
        figures = checks["browser"]["figures"]
        assert (figures["missing"], figures["foreign"], figures["switch_hz"]) == (0, 0, 8000)
        assert figures["matched"] > 100
        assert figures["browser_to_agent"]["marks"] > 4
    else:
        assert checks.pop("browser")["verdict"] == "warned"
    assert {check["verdict"] for check in checks.values()} == {"passed"}
    assert checks["speech"]["figures"]["missing"] == checks["speech"]["figures"]["foreign"] == 0
    assert checks["speech"]["figures"]["matched"] > 300
    assert checks["latency"]["figures"]["coach_to_agent"]["marks"] > 20
    # What the page shows is what the record holds, and the record is in it.
    text = html.read_text()
    inside = re.search(r'<script type="application/json" id="record">(.*?)</script>', text, re.DOTALL)
    assert inside
    assert json.loads(inside[1]) == record


def test_the_levels_are_those_of_the_live_suite_on_the_same_node(node: PrivateNode, whole_stage: Stage) -> None:
    """Whoever is heard is heard alike to a tenth of a dB; whoever is not, is not in either."""
    with SiteStage(direct(node)) as stage:
        record = Script(stage, ("matrix",)).run()
    assert record.passed, record.findings
    whole_stage.clear()
    whole_stage.verdicts.clear()
    matrix.test_listen_whisper_barge_and_back(whole_stage)
    theirs = {verdict.label: verdict.levels for verdict in whole_stage.verdicts}
    whole_stage.clear()
    ours = {look.step: look.levels for look in record.looks}
    alike = {"talk": "before anybody coaches", "listen": "listen", "whisper": "whisper", "barge": "barge",
             "back": "back in listen", "leave": "after the coach has left"}  # fmt: skip
    names = {"coach": "carla"}
    for step, label in alike.items():
        for listener, heard in ours[step].items():
            for name, level in heard.items():
                if name == "beep":
                    continue  # the suite looks while it may still sound
                other = theirs[label].get(names.get(listener, listener), {}).get(names.get(name, name))
                if other is None:
                    continue  # the suite does not look for a coach who is not there
                assert (level > -50) == (other > -50), (step, listener, name)
                if level > -50:
                    assert level == pytest.approx(other, abs=0.15), (step, listener, name)


def test_real_calls_are_left_alone(node: PrivateNode) -> None:
    """A call of others goes on beside it; another is offered to the synthetic agent, and is not answered."""
    with PhoneBank() as bank, SiteStage(direct(node)) as stage:
        where = (node.host, node.phones_port)
        others = [bank.phone(user, node.phone_secret(user), node.domain, where) for user in ("1002", "1003")]
        for phone in others:
            phone.register()
        real = others[1].dial("1002").wait("up")
        theirs = wait_until("the node shows both legs", lambda: [r["uuid"] for r in stage.legs()][1:] and stage.legs())
        theirs = [row["uuid"] for row in theirs]
        stage.phone_for(stage.site.agent, Tone(TONES["agent"], LEVEL))
        intruder = others[0].dial("1001")
        wait_until("it rings at the synthetic agent", lambda: intruder.state == "ringing", 10)
        scene = stage.place()
        assert stage.refused == 1
        assert scene.agent.state == "up"
        wait_until("the intruder was told that he is busy", lambda: intruder.state == "ended", 10)
        assert intruder.end_cause is not None
        assert intruder.end_cause.status == 486
        assert not {*theirs} & {*stage.own.uuids}
        for leg in theirs:
            with pytest.raises(NotOurs):
                stage.own.tell("uuid_kill", leg)
        stage.sweep()
        assert real.state == "up"
        ours = {*stage.own.uuids}
        wait_until("nothing of ours is left", lambda: not ours & {row["uuid"] for row in stage.legs()}, 10)


@contextmanager
def running(*options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A proof that has come to its first listening."""
    command = [*PROGRAM, "prove", *options]
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout
        said = []
        while "listen" not in "".join(said[-1:]):
            said.append(process.stdout.readline())
            assert said[-1], "".join(said)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_interrupted_on_a_private_node_it_leaves_nothing_behind(freeswitch: Path) -> None:
    with running("--private") as process:
        started = descendants(process)
        places = directories(started)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
        psutil.wait_procs(started, 5)
        assert [each for each in started if each.is_running()] == []
        assert [place for place in places if place.exists()] == []


def test_where_frames_are_coded_anew_the_spectrum_says_it(node: PrivateNode) -> None:
    site = direct(node)
    site.caller, site.agent = replace(site.caller, codecs=("PCMU",)), replace(site.agent, codecs=("PCMA",))
    record = proved(site, "speech")
    assert ids(record) == {"codec.coded-anew"}
    assert record.passed
    [figures] = [check.figures for check in record.checks if check.id == "speech"]
    assert figures["spectral_floor_dbfs"] < -45


# --- faults of the service, on a node that is right ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "part", "found"),
    [
        ("uuid_broadcast as the beep", "matrix", {"beep.cuts-speech"}),
        ("the caller's leg taken for the agent's", "matrix", {"attach.callers-leg", "leak.caller-hears-coach"}),
        ("gate: agent and everyone swapped", "matrix", {"leak.caller-hears-coach"}),
        ("gate: closed and agent swapped", "matrix", {"leak.agent-hears-coach", "whisper.not-heard"}),
        ("a barge kept over a re-bridge", "rebridge", {"leak.next-caller"}),
        ("keys that the eavesdrop obeys", "keypad", {"keypad.moved-gate"}),
        ("a wide coach", "matrix", {"codec.coach-too-wide", "sound.garbled"}),
        ("a wide browser", "browser", {"codec.coach-too-wide", "sound.garbled"}),
    ],
)
def test_a_fault_of_the_service_is_found(node: PrivateNode, fault: str, part: str, found: Collection[str]) -> None:
    if part == "browser" and not chromium():
        pytest.skip("there is no Chromium")
    site = direct(node)
    site.coach = replace(site.coach, codecs=WIDE)
    record = proved(site, part, fault=fault)
    assert found <= ids(record), record.findings
    assert not record.passed


# --- a node that is wrong --------------------------------------------------------------------------------------------


def edited(path: Path, *changes: tuple[str, str]) -> None:
    """Each pattern is found exactly as often as it must be for the test to mean anything."""
    text = path.read_text()
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count >= 1, pattern
    path.write_text(text)


AWAY = {"2103": "bypass_media", "2203": "bypass_media_after_bridge", "2303": "proxy_media"}


@pytest.fixture(scope="module")
def wrong(freeswitch: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateNode]:
    """No agent has a jitter buffer; 1002's leg is recorded, media passes the switch by in three ways. Coach 9002 has
    eavesdrop_whisper_aleg, 9003 is on a wideband codec whatever the service asks for."""
    conf = tmp_path_factory.mktemp("wrong") / "conf"
    shutil.copytree(default_conf(), conf)

    def user(number: str, name: str, value: str) -> tuple[str, str]:
        return rf'(<user id="{number}">\s*<params>)', rf'\1<param name="dial-var-{name}" value="{value}"/>'

    edited(
        conf / "directory/domain.xml",
        (r'^.*name="(dial-var-)?(jitterbuffer_msec|rtp_jitter_buffer_during_bridge)".*\n', ""),
        user("1002", "execute_on_answer", "record_session $${recordings_dir}/agent.wav"),
        user("9002", "eavesdrop_whisper_aleg", "true"),
        user("9003", "absolute_codec_string", "G722"),
    )  # fmt: skip
    away = "".join(
        f'<extension name="{name}"><condition field="destination_number" expression="^{number}$">'
        f'<action application="set" data="{name}=true"/>'
        f'<action application="bridge" data="user/1003@$${{ccw_domain}}"/></condition></extension>'
        for number, name in AWAY.items()
    )
    edited(conf / "sip_profiles/browsers.xml", ("any_v[46].auto", "203.0.113.1/32"))
    edited(conf / "dialplan/from-trunk.xml", (r'<extension name="caller"', f'{away}<extension name="caller"'))
    with PrivateNode(binary=freeswitch, conf=conf) as node:
        yield node


WRONG: dict[str, tuple[dict[str, Any], str, set[str]]] = {
    "no jitter buffer": ({"fault": "no jitter buffer"}, "speech", {"jitter-buffer.missing", "frames.lost"}),
    "recording on the agent's leg": ({"agent": "1002"}, "recording", {"recording.agents-leg"}),
    **{name: ({"agent": "1003", "number": number}, "matrix", {"media.not-in-switch"}) for number, name in AWAY.items()},
    "eavesdrop_whisper_aleg": ({"coach": "9002"}, "matrix", {"leak.caller-hears-coach"}),
    "no browser's address is good enough": ({}, "browser", {"coach.not-attached"}),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_with_a_node_is_found(wrong: PrivateNode, what: str) -> None:
    how, part, found = WRONG[what]
    if part == "browser" and not chromium():
        pytest.skip("there is no Chromium")
    site = direct(wrong, how.get("agent", "1001"), how.get("coach", "9001"))
    site.coach = replace(site.coach, codecs=WIDE)
    site.number = how.get("number", site.number)
    record = proved(site, part, fault=how.get("fault", ""))
    assert found <= ids(record), record.findings
    assert not record.passed


def test_a_coach_whom_the_node_makes_too_wide_is_narrowed_by_the_service(wrong: PrivateNode) -> None:
    site = direct(wrong, coach="9003")
    site.coach = replace(site.coach, codecs=WIDE)
    assert ids(proved(site, "matrix")) == {"jitter-buffer.missing"}


def test_what_cannot_be_proved_of_browsers_is_said(wrong: PrivateNode, monkeypatch: pytest.MonkeyPatch) -> None:
    path = chromium()
    site = direct(wrong)
    monkeypatch.setenv("CHROMIUM", "/not/there")
    record = proved(site, "browser")
    assert [(each.id, each.gravity.value) for each in record.findings if each.id.startswith("browser")] == [
        ("browser.not-checked", "warning")
    ]
    if path:
        monkeypatch.setenv("CHROMIUM", path)
        monkeypatch.setattr("ccwhisper.prove.browser.PATIENCE", 3.0)
        site.browsers = "127.0.0.1:9"  # nobody is there
        (found,) = [each for each in proved(site, "browser").findings if each.id == "browser.not-ready"]
        assert "Connecting" in found.said
        site.browsers = None
        assert not [each for each in proved(site, "browser").checks if each.id == "browser"]


# --- a node of others: the wrong one will do, for nobody stays registered there ---------------------------------------


def test_who_has_a_telephone_already_is_not_played(wrong: PrivateNode) -> None:
    site = direct(wrong)
    assert site.in_use() == []
    with PhoneBank() as bank:
        phone = bank.phone("1001", wrong.phone_secret("1001"), wrong.domain, (wrong.host, wrong.phones_port))
        phone.register()
        assert site.in_use() == ["1001"]
        phone.unregister()


def test_interrupted_on_a_node_of_others_it_leaves_nothing_on_it(wrong: PrivateNode, tmp_path: Path) -> None:
    """Nor does it end a call of theirs."""
    config = tmp_path / "ccwhisper.toml"
    config.write_text(f"""
[[node]]
name = "theirs"
port = {wrong.esl_port}
password_env = "CCW_ESL_PASSWORD"
[prove]
domain = "{wrong.domain}"
phones = "{wrong.host}:{wrong.phones_port}"
trunk = "{wrong.host}:{wrong.trunk_port}"
number = "2001"
caller = {{ user = "+4930123" }}
agent = {{ user = "1001", password_env = "AGENT" }}
coach = {{ user = "9001", password_env = "COACH" }}
recordings = "{wrong.directory}/recordings"
""")
    secrets = {
        "CCW_ESL_PASSWORD": wrong.esl_password,
        "AGENT": wrong.phone_secret("1001"),
        "COACH": wrong.phone_secret("9001"),
    }
    with PhoneBank() as bank:
        where = (wrong.host, wrong.phones_port)
        one, other = (bank.phone(user, wrong.phone_secret(user), wrong.domain, where) for user in ("1002", "1003"))
        one.register()
        other.register()
        real = one.dial("1003").wait("up")
        with running("--config", str(config), **secrets) as process:
            assert list((wrong.directory / "recordings").glob("ccwhisper-prove-*"))
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130

        def left() -> set[str]:
            return {row["cid_num"] for row in json.loads(wrong.api("show channels as json"))["rows"]}

        wait_until("nothing of the proof is left", lambda: left() <= {"1002", "1003"}, 10)
        assert real.state == "up"
    for user in ("1001", "9001"):
        assert "sofia/" not in wrong.api(f"sofia_contact */{user}@{wrong.domain}")
    assert not list((wrong.directory / "recordings").glob("ccwhisper-prove-*"))
    wait_until("the node has no legs", lambda: not json.loads(wrong.api("show channels as json")).get("rows"), 10)
