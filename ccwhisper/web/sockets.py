"""Socket.IO: what happens is pushed, and everything that an action of the HTTP API can do can be asked for.

The protocol is in docs/socketio.md. An action is an operation of the table in `api`, with its checks, permissions and
refusals; there is no second set of rules.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import gevent
import orjson
from flask import Flask, request
from flask_socketio import ConnectionRefusedError as Refused
from flask_socketio import SocketIO

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching.errors import CoachingError, Invalid
from ccwhisper.web import errors
from ccwhisper.web.feed import Client, Feed
from ccwhisper.web.operations import Counter, Operation, Table, checked
from ccwhisper.web.shapes import Ask
from ccwhisper.web.websocket import Connections

logger = logging.getLogger(__name__)

MAX_MESSAGE: Final = 16 * 1024
"""Bytes that a client may say at once."""

MAX_BACKLOG: Final = 256
"""Messages that may wait for a client who does not read; then it is dropped."""

PING_SECONDS: Final = 5.0
PONG_SECONDS: Final = 5.0


class _Json:
    """What python-socketio calls to encode and decode."""

    @staticmethod
    def dumps(value: object, **_options: object) -> str:
        return orjson.dumps(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_options: object) -> Any:
        return orjson.loads(text)


class Sockets:
    """The Socket.IO server of an app. `origins` are the other origins whose pages may connect."""

    def __init__(self, app: Flask, counter: Counter, table: Table, origins: Sequence[str] = ()) -> None:
        self._counter = counter
        self._actions: Mapping[str, Operation] = MappingProxyType(
            {each.handler.__name__: each for each in table.operations if each.acts}
        )
        self.connections = Connections()
        self.io = SocketIO(
            app,
            async_mode="gevent",
            transports=["websocket"],
            cors_allowed_origins=list(origins) or None,
            max_http_buffer_size=MAX_MESSAGE,
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS,
            async_handlers=False,  # a release must not overtake its press
            http_compression=False,
            manage_session=False,
            json=_Json,
        )
        self._server = self.io.server
        self._server.eio._async = {
            **self._server.eio._async,
            "websocket": self.connections.driver(MAX_MESSAGE),
        }
        self.feed = Feed(counter.engine, counter.journal, self._tell, counter.phones is not None)
        self._expiries: dict[str, gevent.Greenlet[..., Any]] = {}
        self.io.on_event("connect", self._connect)
        self.io.on_event("disconnect", self._disconnect)
        self.io.on_event("ask", self._ask)
        self.io.on_event("resync", self._resync)

    def start(self) -> None:
        """Push from now on."""
        self.feed.start()

    def stop(self) -> None:
        """Push no more."""
        self.feed.stop()

    # --- connections -------------------------------------------------------------------------------------------------

    def _connect(self, auth: object = None) -> None:
        token = auth.get("token") if isinstance(auth, dict) else None
        try:
            who = self._counter.auth.identify(f"Bearer {token}" if isinstance(token, str) else None)
        except CoachingError as error:
            raise Refused(error.message, errors.detail(error).model_dump()) from None
        client = Client(_sid(), who)
        # After this handler only does the client count as connected, and can be told anything.
        gevent.spawn(self._welcome, client)

    def _welcome(self, client: Client) -> None:
        if not self._server.manager.is_connected(client.room, "/"):
            return
        scope = client.scope
        if scope is not None:
            self._server.enter_room(client.room, scope.room)
        left = max(client.who.expires_at - time.time(), 0.0)
        self._expiries[client.room] = gevent.spawn_later(left, self._expire, client.room)
        self.feed.join(client)

    def _expire(self, room: str) -> None:
        self._tell(room, "expired", {"code": "token_expired", "message": "The token has expired.", "retry": False})
        gevent.sleep(0.2)  # or the farewell would overtake it
        self._server.disconnect(room)

    def _disconnect(self, _reason: object = None) -> None:
        client = self.feed.leave(_sid())
        timer = self._expiries.pop(_sid(), None)
        if timer is not None and timer is not gevent.getcurrent():
            timer.kill(block=False)
        if client is not None:
            for session in client.pressed:
                with contextlib.suppress(CoachingError):  # it may be over
                    self._counter.engine.ask(cmd.Release(client.who.actor, session, "socket lost"))

    def _tell(self, room: str, event: str, data: dict[str, Any]) -> None:
        self._server.emit(event, data, room=room)
        for _, eio_sid in list(self._server.manager.get_participants("/", room)):
            waiting = self._server.eio.sockets.get(eio_sid)
            if waiting is not None and waiting.queue.qsize() > MAX_BACKLOG:
                logger.warning("a client that does not read is dropped")
                self.connections.shut(eio_sid)

    # --- what clients say --------------------------------------------------------------------------------------------

    def _resync(self, *_data: object) -> None:
        client = self.feed.client(_sid())
        if client is not None:
            self.feed.snapshot(client)

    def _ask(self, data: object = None) -> dict[str, Any]:
        """`{op, params, body}` → `{ok, data}` or `{ok: false, error}`."""
        client = self.feed.client(_sid())
        try:
            if client is None:
                raise Invalid("not_ready", "Wait for the snapshot.", retry=True)
            return {"ok": True, "data": self._perform(client, data)}
        except CoachingError as error:
            return {"ok": False, "error": errors.detail(error).model_dump()}
        except Exception:
            logger.exception("a request failed")
            return {"ok": False, "error": errors.DEFECT.model_dump()}

    def _perform(self, client: Client, data: object) -> dict[str, Any]:
        if not isinstance(data, dict) or not data.keys() <= {"op", "params", "body"}:
            raise Invalid("request_malformed", "Send {op, params, body}.")
        operation = self._actions.get(str(data.get("op")))
        if operation is None:
            raise Invalid("operation_unknown", "There is no such operation.")
        params = data.get("params") or {}
        given = data.get("body")
        if not isinstance(params, dict) or set(params) != set(operation.variables):
            raise Invalid("params_invalid", f"The params of {data['op']}: {', '.join(operation.variables) or 'none'}.")
        variables = {str(name): str(value) for name, value in params.items()}
        origin = f"socket {request.remote_addr}"
        answer = self._counter.perform(operation, client.who, origin, variables, lambda: _body(operation, given))
        session = variables.get("session", "")
        if data["op"] == "press":
            client.pressed.add(session)
        elif data["op"] in ("release", "leave"):
            client.pressed.discard(session)
        return answer.model_dump(mode="json")


def _body(operation: Operation, given: object) -> Ask | None:
    if operation.body is None:
        if given is not None:
            raise Invalid("body_unexpected", "This operation has no body.")
        return None
    return checked(operation.body.model_validate_json, orjson.dumps(given))


def _sid() -> str:
    sid: str = request.sid  # type: ignore[attr-defined]
    return sid
