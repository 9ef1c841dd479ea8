"""The HTTP API from outside: every address, what it answers, and what it refuses."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from ccwhisper.coaching.policy import MONITOR, VIEW

from .service import Answer, Client, Service, token

pytestmark = pytest.mark.e2e


def started(coach: Client, **ask: Any) -> str:
    """Start a session and wait until it is in the mode that was asked for; returns its id."""
    answer = coach.post("/sessions", ask)
    assert answer.status == 201, answer.body
    assert answer.headers["Location"] == f"/api/v1/sessions/{answer.body['id']}"
    session = coach.get(f"/sessions/{answer.body['id']}?wait=gate&timeout=5").body
    assert session["settled"], session
    return str(session["id"])


# --- calls, agents ---------------------------------------------------------------------------------------------------


def test_health_needs_no_token(service: Service) -> None:
    store = {"status": "ok", "waiting": 0, "lost": 0}
    assert Client(service, None).get("/health").body == {"status": "ok", "nodes": {"up": 1, "down": 0}, "store": store}
    service.run(service.switch.lose)
    service.until(lambda engine: not engine.state.nodes["fs1"].up)
    health = Client(service, None).get("/health").body
    assert health == {"status": "degraded", "nodes": {"up": 0, "down": 1}, "store": store}


def test_me_says_what_the_token_says(service: Service) -> None:
    answer = Client(service, token(agent="1001", name=None)).get("/me")
    assert answer.body["id"] == answer.body["name"] == "coach-1"
    assert answer.body["agent"] == "1001"
    assert answer.body["devices"] == ["9001@ccwhisper.local", "9002@ccwhisper.local"]


def test_calls_are_listed_filtered_and_read(service: Service, coach: Client) -> None:
    first = service.call("a", number="+15550101", caller="Bob")
    second = service.call("b", user="1002", queue="support@default")
    listed = coach.get("/calls").body["calls"]
    assert {call["id"] for call in listed} == {first, second}
    assert [call["id"] for call in coach.get("/calls?agent=1001").body["calls"]] == [first]
    assert coach.get("/calls?queue=sales%40default").body["calls"] == []
    assert len(coach.get("/calls?queue=support%40default").body["calls"]) == 2
    call = coach.get(f"/calls/{first}").body
    assert (call["number"], call["name"], call["direction"]) == ("+15550101", "Bob", "inbound")
    assert call["agents"] == [{"agent": "1001", "name": "Ada"}]


def test_a_strangers_name_is_text(service: Service, coach: Client) -> None:
    name = 'Bob\n\x1b[2J\u2028${system(id)}"<script>\x00\ud800' + "x" * 4096
    call = service.call(caller=name)
    assert coach.get(f"/calls/{call}").body["name"] == name.replace("\ud800", "?")


def test_what_the_token_does_not_show_does_not_exist(service: Service, coach: Client) -> None:
    call = service.call(user="1002", queue="sales@default")
    assert coach.get("/calls").body["calls"] == []
    assert coach.get(f"/calls/{call}").code == "call_not_found"
    assert coach.post("/sessions", {"call": call}).code == "call_not_found"
    assert [agent["id"] for agent in coach.get("/agents").body["agents"]] == ["1001"]
    everything = Client(service, token(queues=["*"]))
    assert [agent["id"] for agent in everything.get("/agents").body["agents"]] == ["1001", "1002"]
    assert everything.get(f"/calls/{call}").status == 200


def test_an_agent_of_another_queue_is_shown_with_the_calls_that_are_visible(service: Service, coach: Client) -> None:
    call = service.call(user="1002", queue="support@default")
    shown = {agent["id"]: agent for agent in coach.get("/agents").body["agents"]}
    assert shown["1002"]["calls"] == [call]
    assert shown["1002"]["queues"] == []
    assert shown["1001"]["calls"] == []


# --- a session from beginning to end ---------------------------------------------------------------------------------


def test_listen_whisper_barge_and_back_and_leave(service: Service, coach: Client) -> None:
    call = service.call()
    session = started(coach, call=call)
    view = coach.get(f"/sessions/{session}").body
    assert (view["phase"], view["mode"], view["gate"], view["call"]) == ("attached", "listen", "closed", call)
    for mode, gate in (("whisper", "agent"), ("barge", "everyone"), ("whisper", "agent"), ("listen", "closed")):
        assert coach.put(f"/sessions/{session}/mode", {"mode": mode}).body["mode"] == mode
        view = coach.get(f"/sessions/{session}?wait=gate").body
        assert (view["mode"], view["gate"], view["settled"]) == (mode, gate, True)
    assert coach.delete(f"/sessions/{session}").status == 200
    view = coach.get(f"/sessions/{session}?wait=ended").body
    assert (view["phase"], view["reason"], view["settled"]) == ("ended", "coach_left", False)
    assert view["ended_at"] >= view["started_at"]
    assert coach.get("/sessions").body == {"sessions": [], "coaches": []}
    again = coach.delete(f"/sessions/{session}")
    assert (again.status, again.code, again.body["error"]["retry"]) == (409, "session_ended", False)


def test_a_whisper_is_entered_after_listening(service: Service, coach: Client) -> None:
    session = started(coach, agent="1001", call=service.call(), mode="whisper", device="9002@ccwhisper.local")
    view = coach.get(f"/sessions/{session}").body
    assert (view["mode"], view["gate"], view["device"]) == ("whisper", "agent", "9002@ccwhisper.local")


def test_mute_and_talk(service: Service, coach: Client) -> None:
    service.call()
    session = started(coach, agent="1001", mode="whisper")
    assert coach.put(f"/sessions/{session}/muted", {"muted": True}).body["muted"] is True
    assert coach.get(f"/sessions/{session}?wait=gate").body["gate"] == "closed"
    assert coach.put(f"/sessions/{session}/muted", {"muted": False}).body["muted"] is False
    assert coach.get(f"/sessions/{session}?wait=gate").body["gate"] == "agent"
    assert coach.put(f"/sessions/{session}/talk", {"talk": "push"}).body["talk"] == "push"
    assert coach.get(f"/sessions/{session}?wait=gate").body["gate"] == "closed"


def test_press_is_held_by_repeating_it(service: Service, coach: Client) -> None:
    service.call()
    session = started(coach, agent="1001", mode="whisper", talk="push")
    pressed = coach.post(f"/sessions/{session}/press").body
    assert pressed["again_within"] == 0.8
    assert pressed["session"]["pressed"] is True
    assert coach.get(f"/sessions/{session}?wait=gate").body["gate"] == "agent"
    assert coach.post(f"/sessions/{session}/release").body["pressed"] is False
    assert coach.get(f"/sessions/{session}?wait=gate").body["gate"] == "closed"
    assert coach.post(f"/sessions/{session}/release").status == 200  # twice is no error


def test_a_press_that_is_not_repeated_ends_by_itself(service: Service, coach: Client) -> None:
    service.call()
    session = started(coach, agent="1001", mode="whisper", talk="push")
    coach.post(f"/sessions/{session}/press")
    service.until(lambda engine: not engine.state.sessions[session].pressed)
    assert coach.get(f"/sessions/{session}?wait=gate").body["gate"] == "closed"


def test_take_over(service: Service, coach: Client) -> None:
    service.call()
    session = started(coach, agent="1001")
    assert coach.post(f"/sessions/{session}/take-over").status == 200
    view = coach.get(f"/sessions/{session}?wait=ended").body
    assert (view["phase"], view["reason"]) == ("ended", "took_over")


def test_following_the_agent_to_a_next_call(service: Service, coach: Client) -> None:
    session = coach.post("/sessions", {"agent": "1001", "follow": "agent"}).body["id"]
    service.until(lambda engine: engine.state.sessions[session].phase.value == "waiting")
    call = service.call()
    view = coach.get(f"/sessions/{session}?wait=listening").body
    assert (view["phase"], view["call"], view["follow"]) == ("attached", call, "agent")


@pytest.mark.parametrize(
    ("cause", "reason"),
    [("USER_BUSY", "busy"), ("USER_NOT_REGISTERED", "device_not_registered"), ("SOMETHING_ELSE", "device_unreachable")],
)
def test_why_a_phone_was_not_reached_can_be_read_afterwards(
    service: Service, coach: Client, cause: str, reason: str
) -> None:
    service.call()
    service.switch.causes["9001@ccwhisper.local"] = cause
    session = coach.post("/sessions", {"agent": "1001"}).body["id"]
    view = coach.get(f"/sessions/{session}?wait=listening").body
    assert (view["phase"], view["reason"]) == ("ended", reason)


def test_an_eavesdrop_that_never_comes_alive(service: Service, coach: Client) -> None:
    service.call()
    service.switch.deaf.add("a-agent")
    session = coach.post("/sessions", {"agent": "1001"}).body["id"]
    assert coach.get(f"/sessions/{session}?wait=listening").body["reason"] == "attach_failed"


def test_a_wait_ends_with_its_timeout(service: Service, coach: Client) -> None:
    service.call()
    service.switch.ringing.add("9001@ccwhisper.local")
    session = coach.post("/sessions", {"agent": "1001"}).body["id"]
    assert coach.get(f"/sessions/{session}?wait=listening&timeout=0.05").body["phase"] == "ringing"


def test_a_wait_ends_with_the_session(service: Service, coach: Client) -> None:
    service.call()
    service.switch.ringing.add("9001@ccwhisper.local")
    session = coach.post("/sessions", {"agent": "1001"}).body["id"]
    found: list[Answer] = []
    waiting = threading.Thread(target=lambda: found.append(coach.get(f"/sessions/{session}?wait=listening&timeout=9")))
    waiting.start()
    assert coach.delete(f"/sessions/{session}").status == 200
    waiting.join(5)
    assert found[0].body["phase"] in ("ending", "ended")


# --- several coaches -------------------------------------------------------------------------------------------------


def test_coaches_see_each_other_and_command_only_themselves(service: Service, coach: Client) -> None:
    call = service.call()
    mine = started(coach, call=call, mode="whisper")
    other = Client(service, token(sub="coach-2", name="Alan", devices=["9003@ccwhisper.local"]))
    assert other.get("/sessions").body["coaches"] == [
        {"session": mine, "coach": "coach-1", "name": "Grace", "agent": "1001", "call": call, "mode": "whisper",
         "gate": "agent", "muted": False}
    ]  # fmt: skip
    theirs = started(other, call=call)
    assert [each["name"] for each in coach.get("/sessions").body["coaches"]] == ["Alan"]
    for answer in (
        other.get(f"/sessions/{mine}"),
        other.put(f"/sessions/{mine}/mode", {"mode": "listen"}),
        other.put(f"/sessions/{mine}/talk", {"talk": "push"}),
        other.put(f"/sessions/{mine}/muted", {"muted": True}),
        other.post(f"/sessions/{mine}/press"),
        other.post(f"/sessions/{mine}/release"),
        other.post(f"/sessions/{mine}/take-over"),
        other.delete(f"/sessions/{mine}"),
    ):
        assert (answer.status, answer.code) == (404, "session_not_found")
    stranger = Client(service, token(sub="coach-3", queues=["sales@default"]))
    assert stranger.get("/sessions").body == {"sessions": [], "coaches": []}
    assert coach.post(f"/sessions/{mine}/take-over").status == 200
    assert other.get(f"/sessions/{theirs}?wait=ended").body["reason"] == "taken_over"


# --- refusals --------------------------------------------------------------------------------------------------------


def test_conflicts(service: Service, coach: Client) -> None:
    call = service.call()
    assert coach.post("/sessions", {"agent": "1002"}).code == "agent_has_no_call"
    assert coach.post("/sessions", {"agent": "1001", "device": "9009@ccwhisper.local"}).code == "device_not_yours"
    session = started(coach, call=call)
    again = coach.post("/sessions", {"call": call, "device": "9002@ccwhisper.local"})
    assert (again.status, again.code, again.body["error"]["retry"]) == (409, "already_coaching", True)
    other = Client(service, token(sub="coach-2"))
    assert other.post("/sessions", {"call": call}).code == "device_busy"
    assert coach.post(f"/sessions/{session}/press").code == "not_push_to_talk"
    started(other, call=call, device="9002@ccwhisper.local")
    third = Client(service, token(sub="coach-3", devices=["9003@ccwhisper.local"]))
    assert third.post("/sessions", {"call": call}).code == "too_many_coaches"


def test_before_listening_nothing_is_pressed_or_taken_over(service: Service, coach: Client) -> None:
    service.call()
    service.switch.ringing.add("9001@ccwhisper.local")
    session = coach.post("/sessions", {"agent": "1001", "talk": "push"}).body["id"]
    assert coach.post(f"/sessions/{session}/press").code == "not_listening"
    assert coach.post(f"/sessions/{session}/take-over").code == "not_listening"
    assert coach.put(f"/sessions/{session}/mode", {"mode": "whisper"}).body["wanted"] == "whisper"


def test_both_parties_agents(service: Service, coach: Client) -> None:
    from dataclasses import replace

    from .fake_switch import agent_leg

    one = agent_leg("x", "1001@ccwhisper.local", "y", "support@default")
    other = agent_leg("y", "1002@ccwhisper.local", "x")
    service.run(lambda: service.switch.bridge(one, other))
    service.until(lambda engine: bool(engine.state.calls))
    call = coach.get("/calls").body["calls"][0]
    assert call["direction"] == "internal"
    assert coach.post("/sessions", {"call": call["id"]}).code == "target_must_be_named"
    assert coach.post("/sessions", {"call": call["id"], "agent": "1009"}).code == "agent_not_found"
    service.run(lambda: service.switch.bridge(replace(one, media_in_switch=False), other))
    service.until(lambda engine: any(each.obstacle for each in engine.state.calls.values()))
    assert coach.post("/sessions", {"call": call["id"], "agent": "1002"}).code == "media_not_in_switch"


def test_no_switch(service: Service, coach: Client) -> None:
    service.call()
    session = started(coach, agent="1001")
    service.run(service.switch.lose)
    service.until(lambda engine: not engine.state.nodes["fs1"].up)
    answer = coach.put(f"/sessions/{session}/mode", {"mode": "whisper"})
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "node_unavailable", "1")
    assert answer.body["error"]["retry"] is True


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "field_invalid"),
        ({"agent": "1001", "mod": "whisper"}, "field_unknown"),
        ({"agent": "1001", "mode": "shout"}, "field_invalid"),
        ({"agent": 1001}, "field_invalid"),
        ({"agent": ""}, "field_invalid"),
        ({"agent": "1" * 129}, "field_invalid"),
        ([], "field_invalid"),
    ],
)
def test_bodies_that_make_no_sense(coach: Client, body: Any, code: str) -> None:
    answer = coach.post("/sessions", body)
    assert (answer.status, answer.code, answer.body["error"]["retry"]) == (400, code, False)


def test_bodies_that_are_no_bodies(coach: Client) -> None:
    json = {"Content-Type": "application/json"}
    for raw in (b"", b"{", b"\xff", b"[" * 10000):
        assert coach.post("/sessions", raw=raw, headers=json).code == "body_not_json"
    form = coach.post("/sessions", raw=b"agent=1001", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (form.status, form.code) == (415, "content_type")
    assert coach.post("/sessions", raw=b"{}").status == 415
    large = coach.post("/sessions", raw=b'{"agent":"' + b"1" * 20000 + b'"}', headers=json)
    assert (large.status, large.code) == (413, "body_too_large")
    assert coach.put("/sessions/x/mode", {}).code == "field_missing"
    assert coach.put("/sessions/x/muted", {"muted": "yes"}).code == "field_invalid"
    assert coach.post("/sessions/x/press", {}).code == "body_unexpected"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/calls?agnet=1001", "field_unknown"),
        ("/calls?agent=1001&agent=1002", "field_invalid"),
        ("/calls/x?agent=1001", "field_unknown"),
        ("/events?timeout=31", "field_invalid"),
        ("/events?timeout=nan", "field_invalid"),
        ("/sessions/x?wait=lunch", "field_invalid"),
    ],
)
def test_queries_that_make_no_sense(coach: Client, path: str, code: str) -> None:
    answer = coach.get(path)
    assert (answer.status, answer.code) == (400, code)


def test_addresses_and_methods_that_are_not_there(coach: Client) -> None:
    answer = coach.get("/nothing", described=False)
    assert (answer.status, answer.code) == (404, "route_not_found")
    answer = coach.send("PATCH", "/sessions", described=False)
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert coach.send("OPTIONS", "/sessions", described=False).status == 405
    assert coach.get("/calls/%0aevil").code == "request_malformed"
    assert coach.get("/sessions/no-such").code == "session_not_found"
    assert coach.get("/calls/no-such").code == "call_not_found"


# --- who may do what -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("permissions", [[], [VIEW], [MONITOR], [VIEW, MONITOR]])
def test_who_sees_the_dashboard(service: Service, permissions: list[str]) -> None:
    call = service.call()
    client = Client(service, token(permissions=permissions))
    for path in ("/calls", "/agents", f"/calls/{call}"):
        answer = client.get(path)
        assert (answer.status, answer.code) == ((200, None) if VIEW in permissions else (403, "permission_missing"))


def test_a_token_without_devices(service: Service) -> None:
    service.call()
    assert Client(service, token(devices=[])).post("/sessions", {"agent": "1001"}).code == "device_unknown"


# --- the document ----------------------------------------------------------------------------------------------------


def test_the_document_is_valid_and_complete(service: Service, coach: Client) -> None:
    document = coach.document
    assert document["openapi"].startswith("3.1")
    validate(document)
    served = {
        (method, str(rule))
        for rule in service.run(_rules)
        for method in (rule.methods or set()) - {"HEAD"}
        if not str(rule).endswith("openapi.json")
    }
    described = {
        (method.upper(), path.replace("{", "<").replace("}", ">"))
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert served == described


def _rules() -> list[Any]:
    from flask import Flask

    from ccwhisper.engine import Engine
    from ccwhisper.keeper import Keeper
    from ccwhisper.store.archive import Archive
    from ccwhisper.store.database import Database
    from ccwhisper.web.api import TABLE
    from ccwhisper.web.auth import Auth, SharedSecret
    from ccwhisper.web.journal import Journal
    from ccwhisper.web.limits import Limits
    from ccwhisper.web.operations import Counter, blueprint

    from .fake_switch import FakeSwitch
    from .folder import Shelves
    from .service import RULES

    engine = Engine(RULES, FakeSwitch(), [])
    archive = Archive(Database.sqlite(Path("nowhere")), Path("nowhere"), "")
    app = Flask("rules", static_folder=None)
    auth = Auth(SharedSecret("x"), ("HS256",))
    shelf = Shelves(Database.sqlite(Path("nowhere")), Path("nowhere")).shelf
    counter = Counter(engine, Journal(engine), auth, Limits(), archive, Keeper(engine, archive), shelf)
    app.register_blueprint(blueprint(TABLE, counter))
    return list(app.url_map.iter_rules())
