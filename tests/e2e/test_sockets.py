"""Socket.IO from a client's side: snapshot and deltas, actions, and what is refused, dropped or hidden."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import socketio
from socketio.exceptions import ConnectionError as NotConnected

from ccwhisper.web import sockets, websocket
from ccwhisper.web.limits import Limits

from .service import PATIENCE, Client, Service, token

pytestmark = pytest.mark.e2e


class Page:
    """What a page would know: it takes the snapshot, and applies deltas that follow on each other."""

    def __init__(self, service: Service, **claims: Any) -> None:
        self.io = socketio.Client(reconnection=False)
        self.news = threading.Condition()
        self.calls: dict[str, Any] = {}
        self.coaches: dict[str, Any] = {}
        self.sessions: dict[str, Any] = {}
        self.cues: dict[str, Any] = {}
        self.hands: dict[str, Any] = {}
        self.agents: dict[str, Any] = {}
        self.queues: dict[str, Any] = {}
        self.panels: list[dict[str, Any]] = []
        self.snapshots = 0
        self.seq = -1
        self.alive = 0
        self.gone = ""
        self.told: list[str] = []
        for event, handler in {"snapshot": self._snapshot, "delta": self._delta, "panel": self._panel,
                               "alive": self._alive, "expired": self._expired}.items():  # fmt: skip
            self.io.on(event, handler)
        self.io.on("disconnect", self._disconnected)
        self.io.connect(service.url, auth={"token": token(**claims)}, transports=["websocket"], wait_timeout=PATIENCE)

    def _say(self, act: Callable[[], None]) -> None:
        with self.news:
            act()
            self.news.notify_all()

    def _snapshot(self, data: dict[str, Any]) -> None:
        def take() -> None:
            self.snapshots += 1
            self.seq = data["seq"]
            self.calls = {each["id"]: each for each in data.get("calls", ())}
            self.coaches = {each["session"]: each for each in data.get("coaches", ())}
            self.sessions = {each["id"]: each for each in data.get("sessions", ())}
            self.cues = {each["id"]: each for each in data.get("cues", ())}
            self.hands = {each["agent"]: each for each in data.get("hands", ())}
            self.agents = {each["id"]: each for each in data.get("agents", ())}
            self.queues = {each["name"]: each for each in data.get("queues", ())}

        self._say(take)

    def _delta(self, data: dict[str, Any]) -> None:
        def take() -> None:
            assert data["from"] <= self.seq, "a delta was missed"
            if data["seq"] > self.seq:
                for event in data["events"]:
                    self._apply(event["type"], event["data"])
                self.seq = data["seq"]

        self._say(take)

    def _apply(self, kind: str, data: dict[str, Any]) -> None:
        self.told.append(kind)
        noun, _, verb = kind.partition(".")
        kept = {"call": self.calls, "coach": self.coaches, "session": self.sessions, "cue": self.cues,
                "hand": self.hands, "agent": self.agents, "queue": self.queues}.get(noun)  # fmt: skip
        if kept is not None:
            identifier = data[{"coach": "session", "hand": "agent", "queue": "name"}.get(noun, "id")]
            if verb in ("changed", "raised"):
                kept[identifier] = data
            else:
                kept.pop(identifier, None)

    def _panel(self, data: dict[str, Any]) -> None:
        self._say(lambda: self.panels.append(data))

    def _alive(self, data: dict[str, Any]) -> None:
        def take() -> None:
            self.alive += 1

        self._say(take)

    def _expired(self, data: dict[str, Any]) -> None:
        def take() -> None:
            self.gone = data["code"]

        self._say(take)

    def _disconnected(self, *_reason: object) -> None:
        self._say(lambda: None)

    def until(self, condition: Callable[[], Any]) -> Any:
        with self.news:
            assert self.news.wait_for(condition, PATIENCE), f"{self.calls} {self.coaches} {self.sessions}"
            return condition()

    def ask(self, op: str, body: Any = None, **params: str) -> dict[str, Any]:
        data: dict[str, Any] = {"op": op, "params": params}
        if body is not None:
            data["body"] = body
        answer: dict[str, Any] = self.io.call("ask", data, timeout=PATIENCE)
        return answer

    def close(self) -> None:
        self.io.disconnect()


@pytest.fixture
def page(service: Service) -> Iterator[Callable[..., Page]]:
    pages: list[Page] = []

    def opened(**claims: Any) -> Page:
        made = Page(service, **claims)
        pages.append(made)
        made.until(lambda: made.snapshots or made.panels)
        return made

    yield opened
    for each in pages:
        each.close()


def test_a_session_from_the_first_click_to_the_last(service: Service, page: Callable[..., Page]) -> None:
    carla, dora = page(sub="carla"), page(sub="dora")
    call = service.call()
    carla.until(lambda: call in carla.calls)
    answer = carla.ask("start_session", {"call": call})
    assert answer["ok"], answer
    session = answer["data"]["id"]
    carla.until(lambda: carla.sessions[session]["phase"] == "attached" if session in carla.sessions else False)
    assert carla.ask("set_mode", {"mode": "whisper"}, session=session)["ok"]
    carla.until(lambda: carla.sessions.get(session, {}).get("gate") == "agent")
    dora.until(lambda: session in dora.coaches and dora.coaches[session]["gate"] == "agent")
    assert session not in dora.sessions
    assert carla.ask("leave", session=session)["ok"]
    carla.until(lambda: session not in carla.sessions and session not in carla.coaches)
    dora.until(lambda: session not in dora.coaches)


def test_who_comes_later_sees_the_same(service: Service, page: Callable[..., Page]) -> None:
    first = page(sub="carla")
    for name in ("a", "b", "c"):
        service.call(name, user="1001")
    first.until(lambda: len(first.calls) == 3)
    later = page(sub="dora")
    assert later.calls == first.calls
    later.io.emit("resync")
    later.until(lambda: later.snapshots == 2)
    assert later.calls == first.calls


def test_a_defect_in_one_message_is_not_the_end(
    service: Service, page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = page(sub="carla")
    broken = [True]
    news = service.sockets.feed._news

    def once(entries: Any) -> None:
        if broken:
            broken.clear()
            raise RuntimeError("planted")
        news(entries)

    monkeypatch.setattr(service.sockets.feed, "_news", once)
    call = service.call()
    watcher.until(lambda: watcher.snapshots == 2 and call in watcher.calls)
    other = service.call("b")
    watcher.until(lambda: other in watcher.calls)
    assert watcher.snapshots == 2


def test_another_queue_is_not_seen(service: Service, page: Callable[..., Page]) -> None:
    elsewhere, here = page(sub="emil", queues=["sales@default"]), page(sub="carla", queues=["support@default"])
    call = service.call()
    here.until(lambda: call in here.calls)
    assert elsewhere.calls == {}
    assert elsewhere.ask("start_session", {"call": call})["error"]["code"] == "call_not_found"


def test_the_agents_panel(service: Service, page: Callable[..., Page]) -> None:
    agent = page(sub="anna", agent="1001", permissions=[], roles=[], queues=[])
    other = page(sub="bert", agent="1002", permissions=[], roles=[], queues=[])
    carla = page(sub="carla")
    call = service.call()
    agent.until(lambda: agent.panels and agent.panels[-1]["calls"])
    assert (agent.calls, agent.sessions, agent.coaches) == ({}, {}, {})
    session = carla.ask("start_session", {"call": call})["data"]["id"]
    carla.until(lambda: session in carla.sessions and carla.sessions[session]["phase"] == "attached")
    assert agent.panels[-1]["coaches"] == [], "who only listens is not announced"
    carla.ask("set_mode", {"mode": "whisper"}, session=session)
    agent.until(lambda: [each["gate"] for each in agent.panels[-1]["coaches"]] == ["agent"])
    assert agent.panels[-1]["coaches"][0]["mode"] == "whisper"
    carla.ask("set_talk", {"talk": "push"}, session=session)
    agent.until(lambda: [each["gate"] for each in agent.panels[-1]["coaches"]] == ["closed"])
    assert agent.panels[-1]["coaches"][0]["mode"] == "whisper", "the badge does not flicker with the key"
    carla.ask("leave", session=session)
    agent.until(lambda: agent.panels[-1]["coaches"] == [])
    assert len(other.panels) == 1
    assert other.panels[0]["calls"] == []
    assert agent.ask("start_session", {"call": call})["error"]["code"] == "call_not_found"


def test_a_cue_and_its_answer(service: Service, page: Callable[..., Page]) -> None:
    carla, dora = page(sub="carla"), page(sub="dora")
    agent = page(sub="anna", agent="1001", permissions=[], roles=[], queues=[])
    call = service.call()
    session = carla.ask("start_session", {"call": call})["data"]["id"]
    assert carla.ask("send_cue", {"text": " slow \n down "}, session=session)["data"]["text"] == "slow down"
    agent.until(lambda: agent.panels and agent.panels[-1]["cues"])
    cue = agent.panels[-1]["cues"][0]
    assert (cue["text"], cue["name"]) == ("slow down", "Grace")
    assert agent.ask("see_cue", {"read": False}, cue=cue["id"])["data"]["delivered_at"]
    assert agent.ask("reply_to_cue", {"reply": "repeat"}, cue=cue["id"])["ok"]
    carla.until(lambda: carla.cues and carla.cues[cue["id"]]["reply"] == "repeat")
    assert dora.cues == {}
    assert carla.ask("see_cue", {"read": True}, cue=cue["id"])["error"]["code"] == "not_an_agent"
    assert dora.ask("send_cue", {"text": "x"}, session=session)["error"]["code"] == "session_not_found"
    assert carla.ask("send_cue", {"text": "\x07"}, session=session)["error"]["code"] == "field_invalid"
    assert page(sub="carla").cues.keys() == carla.cues.keys(), "who comes later sees the same"


def test_a_raised_hand(service: Service, page: Callable[..., Page]) -> None:
    carla, elsewhere = page(sub="carla"), page(sub="emil", queues=["sales@default"])
    agent = page(sub="anna", agent="1001", permissions=[], roles=[], queues=[])
    call = service.call()
    agent.until(lambda: agent.panels and agent.panels[-1]["calls"])
    assert agent.ask("raise_hand", {"note": "he shouts"})["ok"]
    carla.until(lambda: carla.hands.get("1001", {}).get("note") == "he shouts")
    agent.until(lambda: (agent.panels[-1]["hand"] or {}).get("note") == "he shouts")
    assert elsewhere.hands == {}
    assert carla.ask("raise_hand", {})["error"]["code"] == "not_an_agent"
    carla.ask("start_session", {"call": call})
    carla.until(lambda: not carla.hands)
    agent.until(lambda: agent.panels[-1]["hand"] is None)


def test_a_hand_that_is_raised_while_a_coach_whispers(service: Service, page: Callable[..., Page]) -> None:
    carla = page(sub="carla")
    agent = page(sub="anna", agent="1001", permissions=[], roles=[], queues=[])
    call = service.call()
    session = carla.ask("start_session", {"call": call, "mode": "whisper"})["data"]["id"]
    carla.until(lambda: carla.sessions.get(session, {}).get("gate") == "agent")
    raised = agent.ask("raise_hand", {"note": "he shouts"})
    assert (raised["ok"], raised["data"]["call"], raised["data"]["note"]) == (True, call, "he shouts")
    assert service.run(lambda: service.engine.state.hands) == {}, "answered as soon as it is raised"


def test_a_lost_connection_lets_go_of_the_key(service: Service, page: Callable[..., Page]) -> None:
    carla, watcher = page(sub="carla"), page(sub="dora")
    call = service.call()
    session = carla.ask("start_session", {"call": call, "mode": "whisper", "talk": "push"})["data"]["id"]
    watcher.until(lambda: session in watcher.coaches and watcher.coaches[session]["mode"] == "whisper")
    assert carla.ask("press", session=session)["ok"]
    watcher.until(lambda: watcher.coaches[session]["gate"] == "agent")
    asked = service.run(lambda: service.engine.state.sessions[session].press_until)
    carla.io.eio.ws.sock.shutdown(socket.SHUT_RDWR)  # no farewell
    watcher.until(lambda: watcher.coaches[session]["gate"] == "closed")
    assert asked is not None
    trail = service.run(lambda: [(row.action, row.origin) for row in service.audit])
    assert ("release", "socket lost") in trail, "by the connection's end, not by the key's own time"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (None, "request_malformed"),
        ([], "request_malformed"),
        ({"op": "press", "more": 1}, "request_malformed"),
        ({"op": "no_such_thing"}, "operation_unknown"),
        ({"op": "list_calls"}, "operation_unknown"),
        ({"op": ["press"]}, "operation_unknown"),
        ({"op": "press"}, "params_invalid"),
        ({"op": "press", "params": {"session": "x", "y": "z"}}, "params_invalid"),
        ({"op": "press", "params": "x"}, "params_invalid"),
        ({"op": "press", "params": {"session": "x"}, "body": {}}, "body_unexpected"),
        ({"op": "press", "params": {"session": {"a": 1}}}, "session_not_found"),
        ({"op": "set_mode", "params": {"session": "x"}}, "field_invalid"),
        ({"op": "set_mode", "params": {"session": "x"}, "body": {"mode": "shout"}}, "field_invalid"),
        ({"op": "start_session", "body": {"call": "x", "extra": 1}}, "field_unknown"),
    ],
)
def test_odd_requests(page: Callable[..., Page], data: Any, code: str) -> None:
    answer = page().io.call("ask", data, timeout=PATIENCE)
    assert answer["ok"] is False
    assert answer["error"]["code"] == code


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        (None, "token_missing"),
        ({}, "token_missing"),
        ({"token": 7}, "token_missing"),
        ({"token": "x.y.z"}, "token_invalid"),
        ({"token": token(exp=1)}, "token_expired"),
        ({"token": token(secret="another secret that is long enough")}, "token_invalid"),
    ],
)
def test_who_is_not_believed_does_not_get_in(service: Service, auth: Any, code: str) -> None:
    client = socketio.Client(reconnection=False)
    refusals: list[Any] = []
    client.on("connect_error", refusals.append)
    with pytest.raises(NotConnected):
        client.connect(service.url, auth=auth, transports=["websocket"], wait_timeout=PATIENCE)
    assert refusals[0]["data"]["code"] == code
    assert service.run(lambda: len(service.sockets.feed)) == 0


def test_long_polling_is_not_offered(service: Service) -> None:
    client = socketio.Client(reconnection=False)
    with pytest.raises(NotConnected):
        client.connect(service.url, auth={"token": token()}, transports=["polling"], wait_timeout=PATIENCE)


def test_an_expired_token_ends_the_connection(page: Callable[..., Page]) -> None:
    carla = page(exp=time.time() + 1)
    carla.until(lambda: carla.gone == "token_expired")
    carla.until(lambda: not carla.io.connected)


def test_everybody_hears_something_from_time_to_time(
    page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    carla = page()
    carla.until(lambda: carla.alive)


def test_too_many_actions(service: Service) -> None:
    strict = Service(limits=Limits(rate=1, burst=3)).start()
    try:
        carla = Page(strict)
        carla.until(lambda: carla.snapshots)
        codes = [carla.ask("press", session="x")["error"]["code"] for _ in range(5)]
        assert codes == ["session_not_found"] * 3 + ["rate_limited"] * 2
        carla.close()
    finally:
        strict.stop()


def test_a_page_of_another_origin_does_not_get_in(service: Service) -> None:
    def upgrade(origin: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                   "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Origin": origin}  # fmt: skip
        connection.request("GET", "/socket.io/?EIO=4&transport=websocket", headers=headers)
        status = connection.getresponse().status
        connection.close()
        return status

    assert upgrade("https://evil.example") == 400
    assert upgrade(service.url) == 101


def test_too_many_actions_over_http() -> None:
    strict = Service(limits=Limits(rate=1, burst=2)).start()
    try:
        client = Client(strict, token())
        assert [client.post("/sessions/x/press").status for _ in range(3)] == [404, 404, 429]
        assert client.get("/calls").status == 200
    finally:
        strict.stop()


def test_who_does_not_read_is_dropped_and_the_others_notice_nothing(
    service: Service, page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MAX_BACKLOG", 20)
    monkeypatch.setattr(websocket, "SEND_SECONDS", 10 * PATIENCE)  # it is for its backlog that it is dropped
    reader = page(sub="carla")
    sleeper = page(sub="dora")
    sleeper.io.eio.ws.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reading = threading.Event()
    sleeper.io.on("delta", lambda _data: reading.wait(PATIENCE))  # its reader sleeps on the first
    sleeper.io.on("flood", lambda _data: reading.wait(PATIENCE))

    def flood() -> None:
        for _ in range(400):
            service.sockets._tell(sleeper_room, "flood", {"text": "x" * 20_000})

    [sleeper_room] = service.run(
        lambda: [room for room, each in service.sockets.feed._clients.items() if each.who.actor.id == "dora"]
    )
    service.run(flood)
    service.run(flood)
    call = service.call()
    reader.until(lambda: call in reader.calls)
    for _ in range(100):
        if service.run(lambda: len(service.sockets.feed)) == 1:
            break
        time.sleep(0.05)
    assert service.run(lambda: len(service.sockets.feed)) == 1
    reading.set()
