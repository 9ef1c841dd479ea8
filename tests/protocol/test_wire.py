"""The hardened connection beyond the defects of its base class."""

from __future__ import annotations

import gevent
import pytest

from ccwhisper.switch import wire
from ccwhisper.switch.commands import eavesdrop_gate, show_channels, uuid_dump
from ccwhisper.switch.errors import (
    AuthenticationFailed,
    CommandRefused,
    CommandTimeout,
    ConnectionLost,
    NotConnected,
    SwitchError,
    UnsafeArgument,
)
from ccwhisper.switch.wire import Connection

from .conftest import DEADLINE, PASSWORD, api_response, command_reply, json_event

pytestmark = pytest.mark.protocol


def test_a_wrong_password(switch):
    client = Connection("127.0.0.1", switch.port, "wrong", timeout=2)
    with pytest.raises(AuthenticationFailed) as error:
        client.connect()
    assert isinstance(error.value, ValueError)  # what greenswitch users catch
    assert client.closed.is_set()
    assert not client.connected


def test_a_password_is_one_line(switch):
    with pytest.raises(UnsafeArgument):
        Connection("127.0.0.1", switch.port, f"{PASSWORD}\n\napi system id", timeout=2).connect()


def test_a_host_that_the_access_list_refuses(ours):
    ours.switch.banner = False
    connecting = gevent.spawn(refusal, ours.client.connect)
    peer = ours.switch.next_peer()
    peer.send(b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n")
    assert isinstance(connecting.get(timeout=DEADLINE), NotConnected)
    assert "access list" in ours.client.reason


def refusal(function, *args):
    with pytest.raises(SwitchError) as error:
        function(*args)
    return error.value


def test_the_context_manager(switch):
    with Connection("127.0.0.1", switch.port, PASSWORD, timeout=2) as client:
        assert client.api("status") == "+OK status"
    assert switch.next_peer().gone.wait(DEADLINE)
    client.stop()  # again
    with pytest.raises(NotConnected):
        client.send("api status")
    with pytest.raises(SwitchError):
        client.connect()


@pytest.mark.parametrize("reply", ["-ERR No such channel!\n", "-USAGE: <uuid>\n", "\n-ERR x"])
def test_a_refusal_is_raised_and_keeps_its_text_to_itself(ours, reply):
    ours.switch.answer = lambda command: api_response(reply.encode())
    ours.connect()
    with pytest.raises(CommandRefused) as error:
        ours.client.api(uuid_dump("leg"))
    assert error.value.reply == reply.strip()
    assert str(error.value) == "the switch refused uuid_dump leg"


def test_permission_is_denied_as_a_command_reply(ours):
    ours.switch.answer = lambda command: command_reply("-ERR permission denied")
    ours.connect()
    with pytest.raises(CommandRefused):
        ours.client.api(show_channels())


def test_what_a_command_looks_like_on_the_wire(ours):
    peer = ours.connect()
    ours.client.send(eavesdrop_gate("leg", "2"))
    assert peer.next_command() == "sendevent NOTIFY\nunique-id: leg\neavesdrop-command: 2"
    ours.client.api(show_channels())
    assert peer.next_command() == "api show channels as json"
    job = "11111111-2222-3333-4444-555555555555"
    ours.client.bgapi(show_channels(), job)
    assert peer.next_command() == f"bgapi show channels as json\nJob-UUID: {job}"


def test_output_in_latin1_is_readable(ours):
    ours.switch.answer = lambda command: api_response(b'{"name":"Ren\xe9"}\n')
    ours.connect()
    assert ours.client.api(show_channels()) == '{"name":"Ren\ufffd"}'


def test_many_greenlets_get_their_own_replies(ours):
    ours.connect()
    greenlets = [gevent.spawn(ours.client.api, f"echo {n} " + "x" * 5000) for n in range(50)]
    gevent.joinall(greenlets, timeout=DEADLINE)
    assert [one.value.split()[2] for one in greenlets] == [str(n) for n in range(50)]


def test_a_reply_that_nobody_asked_for_ends_the_connection(ours):
    peer = ours.connect()
    peer.send(command_reply("+OK"))
    assert ours.client.closed.wait(DEADLINE)
    assert ours.client.reason == "a reply that nobody asked for"


def test_garbage_ends_the_connection(ours):
    peer = ours.connect()
    peer.send(b"Content-Length: minus one\n\n")
    assert ours.client.closed.wait(DEADLINE)
    assert ours.client.reason == "Content-Length is not a number"
    assert peer.gone.wait(DEADLINE)


def test_an_event_that_cannot_be_read_is_counted_and_dropped(ours, caplog):
    peer = ours.connect()
    for text in (b'{"Event-Name":', b"[]"):
        peer.send(b"Content-Length: %d\nContent-Type: text/event-json\n\n%b" % (len(text), text))
    peer.send(b"Content-Length: 1\nContent-Type: text/event-xml\n\n<")
    peer.send(json_event({"Event-Name": "CHANNEL_ANSWER"}))
    assert ours.next_event().name == "CHANNEL_ANSWER"
    assert ours.client.dropped == 3
    assert "dropped (3 so far" in caplog.text


def test_handlers_by_name_by_subclass_and_of_the_log(ours):
    got = []
    for name in ("CHANNEL_ANSWER", "callcenter::info", "log"):
        ours.client.register_handle(name, lambda event, name=name: got.append((name, event.data)))
    peer = ours.connect()
    peer.send(json_event({"Event-Name": "CUSTOM", "Event-Subclass": "callcenter::info"}))
    peer.send(b"Content-Type: log/data\nContent-Length: 5\nLog-Level: 7\n\nhello")
    peer.send(json_event({"Event-Name": "CHANNEL_ANSWER"}))
    peer.send(json_event({"Event-Name": "OTHER"}))
    assert ours.next_event().name == "OTHER"
    assert got == [("callcenter::info", None), ("log", "hello"), ("CHANNEL_ANSWER", None)]


def test_a_plain_subscription_is_parsed_as_safely(ours):
    peer = ours.connect()
    ours.kind, ours.ours = "plain", False
    peer.send(ours.event({"Event-Name": "A", "x": "Bob%0AUnique-ID: victim"}, b"body\n"))
    event = ours.next_event()
    ours.ours = True
    assert event.headers == {"Event-Name": "A", "x": "Bob\nUnique-ID: victim", "Content-Length": "5"}
    assert event.data == "body\n"


def test_hooks_around_a_handler(ours):
    order = []
    ours.client.before_handle = lambda event: order.append("before")
    ours.client.after_handle = lambda event: order.append("after")
    ours.client.register_handle("A", lambda event: order.append("handler"))
    peer = ours.connect()
    peer.send(json_event({"Event-Name": "A"}) + json_event({"Event-Name": "B"}))
    ours.next_event()
    assert order[:3] == ["before", "handler", "after"]


def test_a_handler_may_send_a_command(ours):
    results = gevent.queue.Queue()
    ours.client.register_handle("A", lambda event: results.put(ours.client.api("status")))
    peer = ours.connect()
    peer.send(json_event({"Event-Name": "A"}) * 3)
    assert [results.get(timeout=DEADLINE) for _ in range(3)] == ["+OK status"] * 3


def test_handlers_that_fall_behind_end_the_connection(ours, monkeypatch):
    monkeypatch.setattr(wire, "MAX_BACKLOG", 50)
    peer = ours.connect()
    ours.client.register_handle("A", lambda event: ours.client.closed.wait(DEADLINE))
    peer.send(json_event({"Event-Name": "A"}) * 100)
    assert ours.client.closed.wait(DEADLINE)
    assert ours.client.reason == "handlers are too slow for the events"


def test_a_switch_that_does_not_read_blocks_nobody_for_ever(switch):
    client = Connection("127.0.0.1", switch.port, PASSWORD, timeout=2, command_timeout=0.3)
    client.connect()
    switch.next_peer()
    switch.greenlets[-1].kill()  # it stands still, its socket open
    big = "x" * 7_000_000
    first, second = gevent.spawn(refusal, client.send, big), gevent.spawn(refusal, client.send, "api status")
    assert isinstance(first.get(timeout=DEADLINE), ConnectionLost)
    assert isinstance(second.get(timeout=DEADLINE), CommandTimeout | NotConnected)
    assert not client.connected


def test_a_caller_killed_in_the_middle_of_a_command_leaves_no_half(switch):
    client = Connection("127.0.0.1", switch.port, PASSWORD, timeout=2)
    client.connect()
    switch.next_peer()
    switch.greenlets[-1].kill()
    sender = gevent.spawn(client.send, "x" * 7_000_000)
    gevent.idle()
    sender.kill(timeout=DEADLINE)
    assert client.reason == "a command was interrupted"


def test_the_callers_own_timeout_passes_through(ours):
    ours.switch.answer = lambda command: None
    ours.connect()
    with pytest.raises(gevent.Timeout) as error, gevent.Timeout(0.05) as own:
        ours.client.send("api status")
    assert error.value is own
    ours.client.timeout = 5


def test_a_peer_that_vanished_will_be_noticed(ours):
    ours.connect()
    option = ours.client.sock.getsockopt
    assert option(gevent.socket.SOL_SOCKET, gevent.socket.SO_KEEPALIVE) == 1
    assert option(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_KEEPIDLE) == 10
