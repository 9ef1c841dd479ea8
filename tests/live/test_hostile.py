"""Hostile calls and forged events: by what he writes nobody becomes, hears, moves or runs anything.

A call stands, with a coach who whispers, while strangers call another agent and while another Event Socket client
raises events about it. Each test ends with an ordinary call, and then looks whether anything is not as it was.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccwhisper.proof.phones import CallEnded
from ccwhisper.proof.stage import Scene, Stage, wait_until
from tests.live.report import Report

pytestmark = pytest.mark.live

NOBODY = "00000000-0000-4000-8000-000000000000"


class Standing:
    """A whispered call that nothing may touch."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.strangers: list[Scene] = []
        self.allowed: set[str] = set()  # calls and sessions that a test means to make
        self.broken = False
        self.begin()

    def begin(self) -> None:
        """From an empty stage."""
        self.scene = self.stage.call("1001")
        self.carla = self.stage.coach("carla", self.scene, "whisper")
        calls = {"caller": self.scene.caller, "agent": self.scene.agent, "coach": self.carla.heard_by_phone}
        self.legs = {name: self.stage.leg_of(call) for name, call in calls.items()}
        # Another service was here before, and its lease runs out by itself.
        wait_until("there is no lease but ours", lambda: len(self.groups()) == 1, 30)

    def call(self, agent: str = "1002", **dial: Any) -> Scene:
        """A stranger calls."""
        scene = self.stage.call(agent, caller_name="second", agent_name="colleague", **dial)
        self.strangers.append(scene)
        self.allowed.add(scene.id)
        return scene

    def alone(self) -> None:
        """The strangers hang up, and everybody has heard of it."""
        while self.strangers:
            self.strangers.pop().hang_up()
        calls, legs = {self.scene.id}, set(self.legs.values())
        wait_until("only the standing call is there", lambda: {each["id"] for each in self.stage.calls()} == calls)
        wait_until("only its legs are there", lambda: {leg["uuid"] for leg in self.stage.legs()} == legs)

    def groups(self) -> set[str]:
        """Of scheduled tasks."""
        return {row["task_group"] for row in json.loads(self.stage.node.api("show tasks as json")).get("rows", [])}

    def picture(self) -> dict[str, Any]:
        """All that must not change."""
        node = self.stage.node
        return {
            "calls": self.stage.calls(),
            "coaches": self.stage.coaches(),
            "session": self.carla.view(),
            "legs": {name: whose(self.stage.dump(leg)) for name, leg in self.legs.items()},
            "global variables": node.api("global_getvar"),
            "groups of scheduled tasks": sorted(self.groups()),
            "log of the service": self.stage.service.output.read_text(),
        }

    def audit(self) -> list[dict[str, Any]]:
        """The trail so far."""
        with contextlib.closing(sqlite3.connect(self.stage.service.directory / "var/ccwhisper.db")) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute("SELECT * FROM audit ORDER BY id")]

    def place(self) -> str:
        """Where the stream of events is."""
        return str(self.stage.desk().ask("GET", "/events")["next"])

    def news(self, place: str) -> list[dict[str, Any]]:
        """What those who follow along were told after that place."""
        found: list[dict[str, Any]] = self.stage.desk().ask("GET", "/events", after=place, timeout=0)["events"]
        return found


def whose(dump: dict[str, Any]) -> dict[str, Any]:
    """Who a leg is, and what it carries of ours."""
    names = (
        "Channel-Name",
        "Channel-State",
        "Caller-Caller-ID-Name",
        "Caller-Caller-ID-Number",
        "variable_signal_bond",
    )
    return {name: value for name, value in dump.items() if "ccw" in name.lower() or name in names}


@pytest.fixture(scope="module")
def standing(whole_stage: Stage) -> Iterator[Standing]:
    yield Standing(whole_stage)
    whole_stage.clear()


@pytest.fixture
def there(standing: Standing, report: Report, request: pytest.FixtureRequest) -> Iterator[Standing]:
    """The standing call, which is the same afterwards."""
    stage = standing.stage
    stage.verdicts.clear()
    standing.allowed.clear()
    if standing.broken:  # by the test before, which has failed: no reason for this one to fail, too
        stage.clear()
        standing.strangers.clear()
        standing.begin()
    standing.broken = True
    before, place, rows = standing.picture(), standing.place(), len(standing.audit())
    yield standing
    # Events come in order: when this call is shown, all that was raised before it has been read.
    standing.alone()
    standing.call("1003")
    standing.alone()
    now = standing.picture()
    for what, was in before.items():
        assert now[what] == was, what
    strange = [
        event
        for event in standing.news(place)
        if event["data"].get("session", event["data"].get("id")) not in standing.allowed
    ]
    assert strange == []
    assert [row for row in standing.audit()[rows:] if row["session"] not in standing.allowed] == []
    standing.broken = False
    report.add(stage.node.version, request.node.name, stage.verdicts)


def expect_a_whisper(there: Standing, label: str) -> None:
    there.stage.expect(
        there.scene, [there.carla], label=label, caller={"agent"}, agent={"caller", "carla"}, beep_allowed=True
    )  # fmt: skip


# --- names -----------------------------------------------------------------------------------------------------------

# What stands before the < of From, and the name that the API shows. The switch decodes %, drops what follows a zero,
# makes blanks of control characters but line breaks, and writes % for the $ of a variable. {agent} is a leg of the
# standing call.
NAMES = [
    pytest.param(
        b'"Eve%0AUnique-ID: {agent}%0AEvent-Name: CHANNEL_HANGUP%0AHangup-Cause: NORMAL_CLEARING" ',
        "Eve\nUnique-ID: {agent}\nEvent-Name: CHANNEL_HANGUP\nHangup-Cause: NORMAL_CLEARING", id="a forged hang-up"
    ),
    pytest.param(b'"Eve\r\n Unique-ID: {agent}" ', "Eve\r\n Unique-ID: {agent}", id="a folded line"),
    pytest.param(b'"%0A%0Aapi uuid_kill {agent}%0A%0A" ', "\n\napi uuid_kill {agent}\n\n", id="a command of its own"),
    pytest.param(
        '"Eve\u2028Unique-ID: {agent}\u2029a\u0085b" '.encode(),
        "Eve\u2028Unique-ID: {agent}\u2029a\u0085b",
        id="separators",
    ),
    pytest.param(b'"Eve%E2%80%A8Unique-ID: x%C2%85y" ', "Eve\u2028Unique-ID: x\u0085y", id="encoded separators"),
    pytest.param(b'"Ren\xe9 M\xfcller" ', "Ren\ufffd M\ufffdller", id="Latin-1"),
    pytest.param(
        b'"${system(touch {made})}$\\\\{system(touch {made})}$%7Bsystem(touch {made})}" ',
        "%{system(touch {made})}%\\\\{system(touch {made})}%{system(touch {made})}",
        id="variables",
    ),
    pytest.param(b'"${uuid_kill({agent})}%24{hupall()}" ', "%{uuid_kill({agent})}%{hupall()}", id="commands"),
    pytest.param(b'"' + b"x" * 4096 + b'" ', "x" * 256, id="4 KB"),
    pytest.param(b'"Bob \\"the builder\\" B" ', 'Bob \\"the builder\\" B', id="quotes"),
    pytest.param(b'"a%22b%22c%22d" ', 'a"b"c"d', id="encoded quotes"),
    pytest.param(b'"a%2522b%2522c%2522d" ', "a%22b%22c%22d", id="quotes encoded twice"),
    pytest.param(b'"Bob%5C" ', "Bob\\", id="a backslash at the end"),
    pytest.param(b'"Eve%0D%0AX-Injected: 1%0D%0A" ', "Eve\r\nX-Injected: 1\r\n", id="a header for the agent's phone"),
    pytest.param(b'"Eve%250D%250AX-Injected%253A 1" ', "Eve%0D%0AX-Injected%3A 1", id="a header encoded twice"),
    pytest.param(
        b'"&echo() |,{ccw_role=coach}[ccw_role=coach]<ccw_role=coach>:_:user/1003" ',
        "&echo() |,{ccw_role=coach}[ccw_role=coach]<ccw_role=coach>:_:user/1003",
        id="a dial string",
    ),
    pytest.param(b'"%1B]0;owned%07%1B[2J%00gone" ', " ]0;owned  [2J", id="a terminal's escapes"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shown"), NAMES)
def test_a_name_is_text(there: Standing, tmp_path: Path, name: bytes, shown: str) -> None:
    made = tmp_path / "made"

    def filled(text: str) -> str:
        return text.replace("{agent}", there.legs["agent"]).replace("{made}", str(made))

    scene = there.call(display_name=filled(name.decode("latin-1")).encode("latin-1"))
    [call] = [each for each in there.stage.calls() if each["id"] == scene.id]
    assert call["name"] == filled(shown)
    assert call["agents"] == [{"agent": "1002", "name": "Agent 1002"}]
    assert scene.agent.remote_headers.get("X-Injected") is None
    assert not any(ord(char) < 32 for char in scene.agent.caller_id[0])
    for one in (scene.caller, scene.agent):
        assert not {key for key in there.stage.dump(there.stage.leg_of(one)) if key.lower().startswith("variable_ccw")}
    there.alone()
    assert not made.exists()


NUMBERS = [
    pytest.param({"from_user": "1\r\nX-Injected: 1"}, "1\r\nX-Injected: 1", id="line break"),
    pytest.param({"from_user": "${system(touch {made})}"}, "%{system(touch {made})}", id="variable"),
    pytest.param({"from_user": "7" * 3000}, "7" * 256, id="3 KB"),
    pytest.param({"from_user": "+4930;ccw_role=coach"}, "+4930", id="parameter"),
    pytest.param(
        {"raw_headers": b'P-Asserted-Identity: "Eve%0D%0AX-Injected: 1" <sip:%31%0d%0aX-Injected%3A%201@x>\r\n'},
        "1\r\nX-Injected: 1",
        id="P-Asserted-Identity",
    ),
    pytest.param(
        {"raw_headers": b'Remote-Party-ID: "Eve%22x%22y%22" <sip:%31%0d%0aX-Injected%3A%201@x>;screen=no\r\n'},
        "1\r\nX-Injected: 1",
        id="Remote-Party-ID",
    ),
    pytest.param({"from_user": "1001"}, "1001", id="an agent's"),
    pytest.param(
        {"raw_headers": b'P-Asserted-Identity: "Ann" <sip:1001@{domain}>\r\n'}, "1001", id="an agent's, asserted"
    ),
]


@pytest.mark.parametrize(("dial", "shown"), NUMBERS)
def test_a_number_is_text_and_makes_nobody_an_agent(
    there: Standing, tmp_path: Path, dial: dict[str, Any], shown: str
) -> None:
    made = tmp_path / "made"
    if "from_user" in dial:
        filled: dict[str, Any] = {"from_user": dial["from_user"].replace("{made}", str(made))}
    else:
        filled = {"raw_headers": dial["raw_headers"].replace(b"{domain}", there.stage.node.domain.encode())}
    scene = there.call(**filled)
    [call] = [each for each in there.stage.calls() if each["id"] == scene.id]
    assert call["number"] == shown.replace("{made}", str(made))
    assert (call["direction"], call["agents"]) == ("inbound", [{"agent": "1002", "name": "Agent 1002"}])
    assert scene.agent.remote_headers.get("X-Injected") is None
    there.alone()
    assert not made.exists()


HEADERS = [
    pytest.param(
        b"X-ccw_role: coach\r\nX-ccw_session: x\r\nK-ccw_role: coach\r\nOn-ccw_role: coach\r\nccw_role: coach\r\n"
        b"variable_ccw_role: coach\r\nsip_h_ccw_role: coach\r\nX-Eve%0Accw_role: coach\r\n"
        b"X-Eve: 1%0Accw_role: coach\r\n",
        id="variables",
    ),
    pytest.param(
        b"P-Access-Network-Info: x;ccw_role=coach\r\nP-Key-Flags: ccw_role=coach\r\nUser-to-User: ccw_role=coach\r\n"
        b"Diversion: <sip:1001@x;ccw_role=coach>;ccw_role=coach\r\nHistory-Info: <sip:1001@x>;ccw_role=coach\r\n"
        b"Call-Info: <sip:x>;answer-after=0;ccw_role=coach\r\nGeolocation: <cid:ccw_role=coach>\r\n",
        id="parameters",
    ),
    pytest.param(
        b"X-FS-Channel-Name: sofia/phones/1001@x\r\nX-FS-Display-Name: ${system(id)}\r\n"
        b"X-FS-Support: update_display,send_info\r\n"
        b"X-FS-Refer-For: {agent}\r\nX-FS-Attended-Transfer: {agent}\r\n",
        id="the switch's own",
    ),
    pytest.param(
        b"X-Event: %0A%0AContent-Length: 9%0AUnique-ID: {agent}%0AEvent-Name: CHANNEL_HANGUP\r\n"
        + "X-Eve: \u2028Unique-ID: {agent}\u0085Event-Name: CHANNEL_HANGUP\r\n".encode()
        + b"X-Long: "
        + b"y" * 4096
        + b"\r\nX-Latin: \xff\xfe\r\nX-Folded: 1\r\n Unique-ID: {agent}\r\nX-Command: ${uuid_kill({agent})}\r\n",
        id="events",
    ),
]


@pytest.mark.parametrize("headers", HEADERS)
def test_headers_set_nothing_of_ours(there: Standing, headers: bytes) -> None:
    scene = there.call(raw_headers=headers.replace(b"{agent}", there.legs["agent"].encode()))
    [call] = [each for each in there.stage.calls() if each["id"] == scene.id]
    assert (call["direction"], call["agents"]) == ("inbound", [{"agent": "1002", "name": "Agent 1002"}])
    caller, agent = (there.stage.dump(there.stage.leg_of(one)) for one in (scene.caller, scene.agent))
    assert "variable_sip_call_id" in caller
    for leg in (caller, agent):
        assert not {name for name in leg if name.lower().startswith(("ccw", "variable_ccw"))}
    assert "variable_sip_authorized" not in caller


def test_parameters_of_the_address_set_nothing_of_ours(there: Standing) -> None:
    node = there.stage.node
    parameters = "ccw_role=coach;variable_ccw_role=coach;sip_authorized=true"
    scene = there.call(number=f"sip:2002@{node.host}:{node.trunk_port};{parameters}")
    caller = there.stage.dump(there.stage.leg_of(scene.caller))
    assert caller["variable_sip_req_params"] == parameters
    assert not {name for name in caller if name.startswith("variable_ccw")}
    assert "variable_sip_authorized" not in caller


def test_credentials_that_nobody_asked_for_are_not_believed(there: Standing) -> None:
    domain = there.stage.node.domain
    digest = f'Digest username="1001", realm="{domain}", nonce="x", uri="sip:2002@{domain}", response="{"0" * 32}"'
    call = there.stage.outside(there.stage.tone("second")).dial("2002", {"Authorization": digest})
    with pytest.raises(CallEnded, match="407"):
        call.wait("up")


# --- coaching such a call --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dial",
    [
        {"display_name": b'"Eve%0AUnique-ID: x%0A" ', "from_user": "1\r\nX-Injected: 1"},
        {"display_name": b'"' + b"\xff" * 4096 + b'" ', "raw_headers": b"X-Long: " + b"%0A" * 1000 + b"\r\n"},
        {"display_name": b'"&echo ${echo} \',\' {}[]" ', "from_user": "${ccw_role}"},
    ],
    ids=["line breaks", "4 KB of Latin-1", "signs"],
)  # fmt: skip
def test_such_a_call_is_coached_like_any_other(there: Standing, dial: dict[str, Any]) -> None:
    scene = there.call(**dial)
    dora = there.stage.coach("dora", scene, "whisper")
    there.allowed.add(dora.session)
    number = dora.heard_by_phone.caller_id[1]
    assert (dora.heard_by_phone.caller_id[0], number.partition("@")[0]) == ("Coaching Agent 1002", "sip:1002")
    others = {"caller", "agent", "carla"}
    there.stage.expect(
        scene, [dora], label="whisper", caller={"colleague"}, agent={"second", "dora"}, absent=others, beep_allowed=True
    )  # fmt: skip
    dora.mode("listen")
    there.stage.expect(scene, [dora], label="listen", caller={"colleague"}, agent={"second"})
    dora.leave()
    there.alone()
    expect_a_whisper(there, "the standing call")


def test_the_command_line_shows_one_line_a_call(there: Standing) -> None:
    there.call("1002", display_name=b'"%1B]0;owned%07%9B2J%0D%0Afaked line" ')
    there.call("1003", display_name='"\u202egnp.exe\u2028faked line\u0085x\x7f" '.encode(), from_user="1\nfaked line")
    there.call("1004", display_name=b'"Ren\xe9' + b" x" * 2048 + b'" ')
    service = there.stage.service
    environment = {**os.environ, "CCWHISPER_URL": service.url, "CCWHISPER_TOKEN": service.token("desk")}
    for arguments, lines in ((("calls",), 5), (("--json", "calls"), 1)):
        command = [sys.executable, "-m", "ccwhisper", *arguments]
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=20).stdout
        assert len(out.splitlines()) == lines
        assert out.replace("\n", "").isprintable()


# --- another client of the Event Socket ------------------------------------------------------------------------------

# Of two Unique-ID the first, of no leg, lets the switch publish the event; a reader of JSON takes the second.
FORGED = {
    "a barge of the coach": ("CUSTOM", "Event-Subclass: ccwhisper::session", "CCW-Leg: {coach}", "CCW-Mode: barge",
                             "CCW-Session: {session}", "CCW-Gate: everyone", "CCW-Target: {caller}"),
    "a caller as a coach": ("CUSTOM", "Event-Subclass: ccwhisper::session", "CCW-Leg: {caller}", "CCW-Mode: whisper",
                            "CCW-Session: {nobody}", "CCW-Gate: agent", "CCW-Target: {agent}"),
    "a session on a leg": ("CUSTOM", "Event-Subclass: ccwhisper::session", "Unique-ID: {nobody}", "Unique-ID: {caller}",
                           "variable_ccw_role: coach", "variable_ccw_lease: {lease}", "variable_ccw_session: {record}"),
    "a key of the coach": ("CUSTOM", "Event-Subclass: ccwhisper::key", "Unique-ID: {nobody}", "Unique-ID: {coach}",
                           "variable_last_matching_digits: 3", "variable_ccw_role: coach"),
    "a caller dials in": ("CUSTOM", "Event-Subclass: ccwhisper::dialin", "Unique-ID: {nobody}", "Unique-ID: {caller}",
                          "variable_sip_auth_username: 9002", "variable_sip_authorized: true"),
    "one event in another": ("CUSTOM", "Event-Subclass: ccwhisper::x", "Event-Name: CHANNEL_HANGUP",
                             "Unique-ID: {nobody}", "Unique-ID: {coach}"),
    "hang-up of nobody": ("CHANNEL_HANGUP", "Unique-ID: {nobody}", "Hangup-Cause: NORMAL_CLEARING"),
    "hang-up, to the leg": ("CHANNEL_HANGUP", "Unique-ID: {coach}", "Hangup-Cause: NORMAL_CLEARING"),
    "hang-up of the coach": ("CHANNEL_HANGUP", "Unique-ID: {nobody}", "Unique-ID: {coach}"),
    "hang-up of the agent": ("CHANNEL_HANGUP", "Unique-ID: {nobody}", "Unique-ID: {agent}"),
    "hang-up complete": ("CHANNEL_HANGUP_COMPLETE", "Unique-ID: {nobody}", "Unique-ID: {agent}"),
    "bridge with nobody": ("CHANNEL_BRIDGE", "Unique-ID: {nobody}", "Bridge-A-Unique-ID: {agent}",
                           "Bridge-B-Unique-ID: {nobody}"),
    "bridge with the coach": ("CHANNEL_BRIDGE", "Unique-ID: {nobody}", "Bridge-A-Unique-ID: {caller}",
                              "Bridge-B-Unique-ID: {coach}"),
    "unbridge": ("CHANNEL_UNBRIDGE", "Unique-ID: {nobody}", "Bridge-A-Unique-ID: {agent}",
                 "Bridge-B-Unique-ID: {caller}"),
    "hold": ("CHANNEL_HOLD", "Unique-ID: {nobody}", "Unique-ID: {agent}"),
    "park of the coach": ("CHANNEL_PARK", "Unique-ID: {nobody}", "Unique-ID: {coach}"),
    "park of a caller as a coach": ("CHANNEL_PARK", "Unique-ID: {nobody}", "Unique-ID: {caller}",
                                    "variable_ccw_role: coach", "variable_ccw_lease: {lease}"),
    "media bug": ("MEDIA_BUG_START", "Unique-ID: {nobody}", "Unique-ID: {agent}", "Media-Bug-Function: eavesdrop"),
    "codec": ("CODEC", "Unique-ID: {nobody}", "Unique-ID: {agent}", "Channel-Write-Codec-Rate: 16000"),
    "background job": ("BACKGROUND_JOB", "Job-UUID: {nobody}", "Content-Length: 14", "", "-ERR USER_BUSY"),
}  # fmt: skip


@pytest.mark.parametrize("lines", FORGED.values(), ids=FORGED)
def test_an_event_of_another_client_changes_nothing(there: Standing, lines: tuple[str, ...]) -> None:
    coach = there.stage.dump(there.legs["coach"])
    names = {
        **there.legs,
        "nobody": NOBODY,
        "session": there.carla.session,
        "lease": coach["variable_ccw_lease"],
        "record": coach["variable_ccw_session"],
    }
    there.stage.node.send_event(*(line.format_map(names) for line in lines))
    there.call()  # what was raised before it is known by now
    expect_a_whisper(there, "after it")
