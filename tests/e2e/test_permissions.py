"""Who may do what: every set of permissions and roles, in one's own queue and in another's, over HTTP and over
Socket.IO. The page hides what is not permitted; this is the control."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, Protocol

import pytest
import socketio

from ccwhisper.coaching.policy import MONITOR, VIEW

from .service import PATIENCE, Client, Service, token

pytestmark = pytest.mark.e2e

PERMISSIONS = [list(some) for count in range(3) for some in combinations((VIEW, MONITOR), count)]
ROLES = [list(some) for count in range(3) for some in combinations(("whisper", "barge"), count)]
MODES = ("listen", "whisper", "barge")


class Surface(Protocol):
    def do(self, op: str, body: Any = None, **params: str) -> tuple[str | None, Any]:
        """The code of the refusal, or None; and the answer."""


class OverHttp:
    """The operations as requests, by the served document."""

    def __init__(self, service: Service, bearer: str) -> None:
        self._client = Client(service, bearer)
        self._where = {
            operation["operationId"]: (method.upper(), path.removeprefix("/api/v1"))
            for path, methods in self._client.document["paths"].items()
            for method, operation in methods.items()
        }

    def do(self, op: str, body: Any = None, **params: str) -> tuple[str | None, Any]:
        method, path = self._where[op]
        answer = self._client.send(method, path.format(**params), body)
        return answer.code, answer.body


class OverSocket:
    """The operations asked for on one connection."""

    def __init__(self, service: Service, bearer: str) -> None:
        self._io = socketio.SimpleClient()
        self._io.connect(service.url, auth={"token": bearer}, transports=["websocket"], wait_timeout=PATIENCE)
        self._io.receive(PATIENCE)  # the snapshot: from now on it is listened to

    def do(self, op: str, body: Any = None, **params: str) -> tuple[str | None, Any]:
        data = {"op": op, "params": params} | ({} if body is None else {"body": body})
        answer = self._io.call("ask", data, timeout=PATIENCE)
        return (None, answer["data"]) if answer["ok"] else (answer["error"]["code"], None)

    def close(self) -> None:
        self._io.disconnect()


@pytest.fixture(params=["http", "socket"])
def surface(service: Service, request: pytest.FixtureRequest) -> Iterator[Any]:
    opened: list[OverSocket] = []

    def speak(**claims: Any) -> Surface:
        bearer = token(**claims)
        if request.param == "http":
            return OverHttp(service, bearer)
        opened.append(OverSocket(service, bearer))
        return opened[-1]

    yield speak
    for each in opened:
        each.close()


def refusal(mode: str, permissions: list[str], roles: list[str], queues: list[str]) -> str | None:
    """What the promise in words comes to."""
    if VIEW not in permissions or queues != ["support@default"]:
        return "call_not_found"  # that it exists is already more than he may know
    if MONITOR not in permissions:
        return "permission_missing"
    return "role_missing" if mode != "listen" and mode not in roles else None


@pytest.mark.parametrize("queues", [["support@default"], ["sales@default"], []], ids=["own", "other", "none"])
@pytest.mark.parametrize("roles", ROLES, ids="+".join)
@pytest.mark.parametrize("permissions", PERMISSIONS, ids="+".join)
def test_coaching(service: Service, surface: Any, permissions: list[str], roles: list[str], queues: list[str]) -> None:
    call = service.call()
    me = surface(permissions=permissions, roles=roles, queues=queues)
    for mode in MODES:
        code, answer = me.do("start_session", {"call": call, "mode": mode})
        assert code == refusal(mode, permissions, roles, queues), mode
        if code is None:
            _go_on(service, me, answer["id"], permissions, roles, queues)
            last = "take_over" if mode == "barge" else "leave"
            assert me.do(last, session=answer["id"])[0] is None
            service.until(lambda engine: not engine.state.sessions)


def _go_on(
    service: Service, me: Surface, session: str, permissions: list[str], roles: list[str], queues: list[str]
) -> None:
    service.until(lambda engine: engine.state.sessions[session].phase.value == "attached")
    for mode in MODES:
        code, _ = me.do("set_mode", {"mode": mode}, session=session)
        assert code == refusal(mode, permissions, roles, queues), mode
    assert me.do("send_cue", {"text": "slow down"}, session=session)[0] is None
    assert me.do("set_muted", {"muted": True}, session=session)[0] is None
    assert me.do("set_muted", {"muted": False}, session=session)[0] is None
    if "barge" not in roles:
        assert me.do("take_over", session=session)[0] == "role_missing"


@pytest.mark.parametrize("claims", [{}, {"agent": "1002", "permissions": [], "roles": [], "queues": []}],
                         ids=["supervisor", "another agent"])  # fmt: skip
def test_what_is_the_agents_own(service: Service, surface: Any, claims: dict[str, Any]) -> None:
    call = service.call()
    coach, me = surface(sub="carla"), surface(sub="me", **claims)
    session = coach.do("start_session", {"call": call})[1]["id"]
    cue = coach.do("send_cue", {"text": "slow down"}, session=session)[1]["id"]
    code = "cue_not_found" if claims else "not_an_agent"
    assert me.do("see_cue", {"read": True}, cue=cue)[0] == code
    assert me.do("reply_to_cue", {"reply": "got_it"}, cue=cue)[0] == code
    assert me.do("raise_hand", {})[0] == (None if claims else "not_an_agent")


def test_somebody_elses_session(service: Service, surface: Any) -> None:
    call = service.call()
    session = surface(sub="carla").do("start_session", {"call": call})[1]["id"]
    dora = surface(sub="dora", devices=["9002@ccwhisper.local"])
    for op, body in {
        "set_mode": {"mode": "barge"},
        "set_talk": {"talk": "push"},
        "set_muted": {"muted": True},
        "send_cue": {"text": "x"},
        "press": None,
        "release": None,
        "take_over": None,
        "leave": None,
    }.items():
        assert dora.do(op, body, session=session)[0] == "session_not_found", op
    assert service.run(lambda: service.engine.state.sessions[session].wanted.value) == "listen"
