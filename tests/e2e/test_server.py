"""The HTTP server itself."""

from __future__ import annotations

import socket

import pytest
from flask import Flask
from gevent.event import AsyncResult

from ccwhisper.web.app import make_server

pytestmark = pytest.mark.e2e


def test_no_part_of_an_answer_waits_for_the_one_before() -> None:
    server = make_server(Flask("nothing"), "127.0.0.1", 0)
    accepted: AsyncResult[int] = AsyncResult()
    server.set_handle(lambda end, _address: accepted.set(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
    server.start()
    try:
        with socket.create_connection(("127.0.0.1", server.server_port)):
            assert accepted.get(timeout=5)
    finally:
        server.stop()
