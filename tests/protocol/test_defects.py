"""Every defect of greenswitch 0.0.19 that we know, shown on it and shown cured on ours, on a real port."""

from __future__ import annotations

import functools
import os
import sys
import time

import gevent
import greenswitch
import psutil
import pytest
from gevent import subprocess
from gevent.event import Event as Signal
from greenswitch.esl import NotConnectedError

from ccwhisper.switch.errors import CommandTimeout, ConnectionLost, NotConnected, SwitchError, UnsafeArgument

pytestmark = pytest.mark.protocol

SHORT = 0.4
"""How long a thing that must not happen (or that hangs) is waited for, seconds."""

FORGED = "CHANNEL_HANGUP_COMPLETE"
EVIL_NAME = f"A%0AUnique-ID%3A%20victim%0AEvent-Name%3A%20{FORGED}%0AZ"  # no colon or blank: a legal header name
EVIL = f"Bob%0AUnique-ID: victim%0AEvent-Name: {FORGED}"


def channel(**more: str) -> dict[str, str]:
    return {"Event-Name": "CHANNEL_ANSWER", "Unique-ID": "honest"} | more


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param({"Caller-Caller-ID-Name": EVIL}, id="display name"),
        pytest.param({"variable_sip_h_X-Note": EVIL}, id="X-header value"),
        pytest.param({f"variable_sip_h_X-{EVIL_NAME}": "v"}, id="X-header name"),
        pytest.param(
            {"variable_sip_h_X-Fold": f"a\r\n Unique-ID: victim\r\n Event-Name: {FORGED}\r\n b: c"},
            id="folded X-header",
        ),
        pytest.param(
            {"Caller-Caller-ID-Name": f"Bob\u0085Unique-ID: victim\u0085Event-Name: {FORGED}\u0085x: y"}, id="U+0085"
        ),
        pytest.param(
            {"Caller-Caller-ID-Name": f"Bob\u2028Unique-ID: victim\u2028Event-Name: {FORGED}\u2028x: y"}, id="U+2028"
        ),
        pytest.param({"Caller-Caller-ID-Name": f"\x0bUnique-ID: victim\x0cEvent-Name: {FORGED}"}, id="VT and FF"),
    ],
)
def test_a_stranger_cannot_forge_an_event(subject, hostile):
    peer = subject.connect()
    # the switch's own headers come first, a caller's text after them
    peer.send(subject.event(channel() | hostile))
    event = subject.next_event()
    seen = (event.headers["Event-Name"], event.headers["Unique-ID"])
    if subject.ours:
        assert seen == ("CHANNEL_ANSWER", "honest")
        assert event.headers == channel() | hostile
    else:
        assert seen == (FORGED, "victim")


@pytest.mark.parametrize("text", ["x" * 4096, "${system(id)}", EVIL, "\u0085\u2028", 'quote " and \\'])
def test_odd_text_arrives_as_it_was_written(ours, text):
    peer = ours.connect()
    peer.send(ours.event(channel(name=text)))
    assert ours.next_event().headers == channel(name=text)


def test_a_latin1_byte_does_not_end_the_reading(subject):
    peer = subject.connect()
    if subject.ours:
        text = b'{"Event-Name":"CHANNEL_ANSWER","Unique-ID":"honest","Caller-Caller-ID-Name":"Ren\xe9"}'
        peer.send(b"Content-Length: %d\nContent-Type: text/event-json\n\n%b" % (len(text), text))
    else:  # the plain format escapes values, but writes names (of X-headers) as they came
        text = b"Event-Name: CHANNEL_ANSWER\nvariable_sip_h_X-Ren\xe9: 1\n\n"
        peer.send(b"Content-Length: %d\nContent-Type: text/event-plain\n\n%b" % (len(text), text))
    peer.send(subject.event(channel(second="1")))
    if subject.ours:
        assert subject.next_event().headers["Caller-Caller-ID-Name"] == "Ren\ufffd"
        assert subject.next_event().headers["second"] == "1"
    else:
        with pytest.raises(gevent.queue.Empty):
            subject.next_event(SHORT)
        assert subject.client._receive_events_greenlet.dead
        assert subject.client.connected  # and it does not even know


def test_a_body_that_is_a_job_result_arrives_intact(subject):
    peer = subject.connect()
    body = b"+OK first\n\nUnique-ID: victim\nname: %0A%41\n"
    peer.send(subject.event({"Event-Name": "BACKGROUND_JOB", "Job-UUID": "j"}, body))
    event = subject.next_event()
    if subject.ours:
        assert event.data == body.decode()
        assert event.headers["Job-UUID"] == "j"
        assert "Unique-ID" not in event.headers
    else:
        assert not hasattr(event, "data")
        assert event.headers["Unique-ID"] == "victim"


def test_a_newline_cannot_start_a_second_command(subject):
    peer = subject.connect()
    evil = "api uuid_setvar leg name Bob\n\napi system id"
    if subject.ours:
        with pytest.raises(UnsafeArgument):
            subject.client.send(evil)
        assert peer.commands.empty()
    else:
        with gevent.Timeout(2, False):
            subject.client.send(evil)
        assert [peer.next_command(), peer.next_command()] == ["api uuid_setvar leg name Bob", "api system id"]


@pytest.mark.parametrize(
    "text",
    ["api a\rb", "api a\u0085b", "api a\u2028b", "api a\u2029b", "api a\x00b", "", " ", "api reload mod_event_socket"],
)
def test_a_line_that_is_no_plain_line_is_refused(ours, text):
    peer = ours.connect()
    with pytest.raises(UnsafeArgument):
        ours.client.send(text)
    assert ours.client.api("status") == "+OK status"
    assert peer.next_command() == "api status"


def test_a_pending_command_ends_with_the_connection(subject):
    subject.switch.answer = lambda command: None
    peer = subject.connect()
    sender = gevent.spawn(outcome, subject.client.send, "api status")
    peer.next_command()
    peer.close()
    sender.join(SHORT if not subject.ours else 5)
    if subject.ours:
        assert isinstance(sender.value, ConnectionLost)
        assert isinstance(sender.value, NotConnectedError)  # what greenswitch users catch
        assert "may have run" in str(sender.value)
    else:
        assert not sender.dead
        sender.kill()


def outcome(function, *args):
    try:
        return function(*args)
    except Exception as error:
        return error


def test_a_command_has_a_deadline_and_keeps_its_place(subject):
    subject.switch.answer = lambda command: None
    peer = subject.connect()
    if not subject.ours:
        sender = gevent.spawn(subject.client.send, "api slow")
        sender.join(SHORT)
        assert not sender.dead
        sender.kill()
        return
    with pytest.raises(CommandTimeout):
        subject.client.send("api slow", timeout=0.05)
    second = gevent.spawn(subject.client.api, "quick")
    while peer.next_command() != "api quick":
        pass
    peer.send(b"Content-Type: api/response\nContent-Length: 4\n\nslow")
    peer.send(b"Content-Type: api/response\nContent-Length: 5\n\nquick")
    assert second.get(timeout=5) == "quick"


def test_connect_ends_without_a_banner(subject):
    subject.switch.banner = False
    subject.client.timeout = 0.2
    sender = gevent.spawn(outcome, subject.client.connect)
    sender.join(5 if subject.ours else 3 * SHORT)
    if subject.ours:
        assert isinstance(sender.value, NotConnected)
        assert not subject.client.connected
    else:
        assert not sender.dead
        sender.kill()


def test_a_refused_connection_is_told_as_such(subject):
    subject.switch.listener.close()
    error = outcome(subject.client.connect)
    assert isinstance(error, NotConnectedError) is subject.ours  # greenswitch lets the OSError through


def test_a_big_command_arrives_whole(subject):
    subject.client.command_timeout = 20
    peer = subject.connect()
    big = "api echo " + "x" * 7_000_000
    sender = gevent.spawn(outcome, subject.client.send, big)
    if subject.ours:
        sender.join(20)
        assert sender.value.data == "+OK " + big[4:]
        assert peer.next_command() == big
    else:
        with pytest.raises(gevent.queue.Empty):
            peer.commands.get(timeout=SHORT)  # its end never came
        sender.kill()


@pytest.mark.parametrize("how", ["fin", "notice and fin"])
def test_a_loss_is_told_once(subject, how):
    told, first = [], Signal()

    def on_disconnect(event):
        told.append(event.headers.get("Content-Type"))
        first.set()

    subject.client.register_handle("DISCONNECT", on_disconnect)
    peer = subject.connect()
    peer.send(subject.event(channel()))
    if how != "fin":
        peer.send(b"Content-Type: text/disconnect-notice\nContent-Length: 5\n\nbye!\n")
    peer.close()
    if subject.ours:
        assert first.wait(5)
        subject.client._process_events_greenlet.join(5)
        assert told == ["text/disconnect-notice"]
        assert subject.next_event().headers == channel()  # what came before is not lost
        with pytest.raises(NotConnected):
            subject.client.send("api status")
    elif how == "fin":
        assert not first.wait(SHORT)


def test_a_loss_is_told_although_stop_follows_at_once(ours):
    told = Signal()
    ours.client.register_handle("DISCONNECT", lambda event: told.set())
    peer = ours.connect()
    peer.close()
    assert ours.client.closed.wait(5)
    ours.client.stop()
    assert told.wait(5)


def test_a_deliberate_stop_is_no_loss(ours):
    told = []
    ours.client.register_handle("DISCONNECT", told.append)
    ours.connect()
    ours.client.stop()
    assert ours.client._process_events_greenlet.dead
    assert told == []


def test_stop_ends_although_the_switch_is_hung(subject):
    subject.switch.answer = lambda command: None
    subject.connect()
    began = time.monotonic()
    with gevent.Timeout(1.5, False):
        subject.client.stop()
    assert (time.monotonic() - began < 1.4) is subject.ours


def test_stop_may_be_called_from_a_handler(subject):
    results = []

    def on_event(event):
        results.append(outcome(subject.client.stop))

    subject.client.register_handle("CHANNEL_ANSWER", on_event)
    peer = subject.connect()
    peer.send(subject.event(channel()))
    subject.client._process_events_greenlet.join(2.5)
    if subject.ours:
        assert subject.client._process_events_greenlet.dead
        assert results == [None]
    else:
        assert results != [None]


def test_stop_before_connect_is_nothing(subject):
    error = outcome(subject.client.stop)
    assert (error is None) is subject.ours


def test_a_handler_without_a_name_that_fails_does_no_harm(subject, caplog):
    def broken(_, event):
        raise RuntimeError("on purpose")

    subject.client.register_handle("CHANNEL_ANSWER", functools.partial(broken, None))
    peer = subject.connect()
    with quiet_hub():
        peer.send(subject.event(channel(secret="Alice Example")))
        peer.send(subject.event({"Event-Name": "CHANNEL_BRIDGE"}))
        if subject.ours:
            assert subject.next_event().headers["Event-Name"] == "CHANNEL_BRIDGE"
            assert "a handler of CHANNEL_ANSWER failed" in caplog.text
            assert "Alice" not in caplog.text
        else:
            with pytest.raises(gevent.queue.Empty):
                subject.next_event(SHORT)
            assert subject.client._process_events_greenlet.dead


class quiet_hub:  # noqa: N801 - reads as a statement
    """gevent prints the traceback of a greenlet that died; here that is what we want to see happen."""

    def __enter__(self):
        self.hub = gevent.get_hub()
        self.before = self.hub.exception_stream
        self.hub.exception_stream = None

    def __exit__(self, *exc):
        self.hub.exception_stream = self.before


def test_a_failing_handler_keeps_people_out_of_the_log(subject, caplog):
    def broken(event):
        raise RuntimeError("on purpose")

    subject.client.register_handle("CHANNEL_ANSWER", broken)
    peer = subject.connect()
    peer.send(subject.event(channel(name="Alice Example")))
    peer.send(subject.event({"Event-Name": "CHANNEL_BRIDGE"}))
    subject.next_event()
    assert ("Alice" not in caplog.text) is subject.ours


def test_the_password_is_not_logged(ours, caplog):
    caplog.set_level("DEBUG")
    ours.connect()
    ours.client.stop()
    assert "sesame" not in caplog.text


CHILD = """
import sys, gevent
from greenswitch import InboundESL
from ccwhisper.switch.wire import Connection
client = {"greenswitch": InboundESL, "ccwhisper": Connection}[sys.argv[1]]("127.0.0.1", int(sys.argv[2]), sys.argv[3])
client.connect()
print("connected", flush=True)
client._receive_events_greenlet.join(3)
print("alive", flush=True)
"""


def test_fin_inside_a_body_does_not_spin_the_process(subject):
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", CHILD, subject.kind, str(subject.switch.port), "open sesame"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        with gevent.Timeout(20):
            assert child.stdout.readline().strip() == b"connected"
        peer = subject.switch.next_peer()
        before = sum(psutil.Process(child.pid).cpu_times()[:2])
        peer.send(b"Content-Length: 100\nContent-Type: text/event-json\n\nhalf")
        peer.close()
        said = None
        with gevent.Timeout(10 if subject.ours else 2, False):
            said = child.stdout.readline().strip()
        if subject.ours:
            assert said == b"alive"
        else:
            assert said is None  # its three seconds' wait cannot even time out: no greenlet runs any more
            assert sum(psutil.Process(child.pid).cpu_times()[:2]) - before > 0.5
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_the_base_class_is_the_one_these_tests_are_about(ours):
    assert isinstance(ours.client, greenswitch.InboundESL)
    assert issubclass(ConnectionLost, SwitchError)


def test_the_reload_trick(subject):
    peer = subject.connect()
    trick = "api uuid_setvar leg name unload-mod_event_socket"  # the switch would unload its Event Socket
    result = outcome(subject.client.send, trick)
    assert isinstance(result, UnsafeArgument) is subject.ours
    if not subject.ours:
        assert peer.next_command() == trick


def test_after_a_loss_there_is_a_new_connection(subject):
    """Ours by Link, see test_link; greenswitch's object cannot even be connected a second time by hand."""
    peer = subject.connect()
    peer.close()
    if subject.ours:
        assert subject.client.closed.wait(5)
        with pytest.raises(SwitchError, match="connects once"):
            subject.client.connect()
        return
    subject.client._receive_events_greenlet.join(5)
    subject.client.sock_file.close()  # connect() would leak them
    subject.client.sock.close()
    again = gevent.spawn(subject.client.connect)
    second = subject.switch.next_peer()
    again.join(SHORT)
    second.send(subject.event(channel()))
    with pytest.raises(gevent.queue.Empty):
        subject.next_event(SHORT)
    again.kill()
