"""The splitter and the event parsers: any bytes, any chunks."""

from __future__ import annotations

import contextlib
import json
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccwhisper.switch import frames
from ccwhisper.switch.frames import Event, Frame, Splitter, parse_event_json, parse_event_plain

from .conftest import json_event, plain_event

pytestmark = pytest.mark.protocol

WIRE = (
    b"Content-Type: auth/request\n\n"
    b"Content-Type: command/reply\nReply-Text: +OK\n\n\n\n"  # a reply that ended in newlines of its own
    + json_event({"Event-Name": "CHANNEL_ANSWER", "name": "Ren\u00e9 \u2028"})
    + b"Content-Type: api/response\nContent-Length: 7\n\na\n\nb: c"
    + b"Content-Type: command/reply\nReply-Text: +OK last\n\n"
)


def whole(data: bytes) -> list[Frame]:
    return Splitter().feed(data)


def test_frames_are_cut_where_the_switch_cut_them():
    got = whole(WIRE)
    assert [one.content_type for one in got] == [
        "auth/request",
        "command/reply",
        "text/event-json",
        "api/response",
        "command/reply",
    ]
    assert got[3].body == b"a\n\nb: c"
    assert got[4].headers["Reply-Text"] == "+OK last"


@given(st.lists(st.integers(0, len(WIRE)), max_size=20))
def test_chunk_borders_do_not_matter(borders):
    cuts = [0, *sorted(borders), len(WIRE)]
    splitter = Splitter()
    got = [one for start, end in pairwise(cuts) for one in splitter.feed(WIRE[start:end])]
    assert got == whole(WIRE)
    splitter.eof()
    assert splitter.broken is None


def test_byte_by_byte():
    splitter = Splitter()
    assert [one for byte in WIRE for one in splitter.feed(bytes([byte]))] == whole(WIRE)


@given(st.lists(st.one_of(st.binary(max_size=200), st.sampled_from([b"\n\n", b"Content-Length: ", b"9", b": "]))))
def test_garbage_never_raises_and_chunks_of_it_agree(chunks):
    splitter, other = Splitter(), Splitter()
    one_way = [frame for chunk in chunks for frame in splitter.feed(chunk)]
    assert other.feed(b"".join(chunks)) == one_way
    assert splitter.broken == other.broken
    splitter.eof()
    assert splitter.feed(b"more") == []


@pytest.mark.parametrize("length", ["x", "-1", "1_0", "\u0661", "99999999999", "9999999999", "", "+1", "0x10", "1.0"])
def test_a_length_that_is_no_number_breaks_the_stream(length):
    splitter = Splitter()
    good = b"Content-Type: auth/request\n\n"
    assert len(splitter.feed(good + f"Content-Length: {length}\n\n".encode() + good)) == 1
    assert splitter.broken
    assert splitter.feed(good) == []


def test_two_lengths_break_the_stream():
    splitter = Splitter()
    splitter.feed(b"Content-Length: 1\ncontent-length: 2\n\n")
    assert splitter.broken == "two different Content-Length headers"


@pytest.mark.parametrize("ending", [b"", b"\n\n"])
def test_a_header_block_without_end_breaks_the_stream(ending):
    splitter = Splitter()
    splitter.feed(b"a" * (frames.MAX_HEADER_BYTES + 1) + ending)
    assert splitter.broken == "header block too large"


@pytest.mark.parametrize(
    ("data", "clean"),
    [(b"", True), (b"\n", True), (b"Content-Le", False), (b"Content-Length: 5\n\nabc", False)],
)
def test_the_end_of_the_stream(data, clean):
    splitter = Splitter()
    splitter.feed(data)
    splitter.eof()
    assert (splitter.broken is None) is clean


def test_only_a_newline_ends_a_header_line():
    text = "a\u0085b\u2028c\x0bd\x0ce\x1cf\rg"
    (frame,) = whole(f"Reply-Text: {text}\nno colon here\nX:y\n\n".encode())
    assert frame.headers == {"Reply-Text": text, "X": "y"}


def test_a_large_body_in_many_pieces():
    body = b"x" * 3_000_000
    splitter, got = Splitter(), []
    data = b"Content-Type: api/response\nContent-Length: %d\n\n%b" % (len(body), body)
    for start in range(0, len(data), 65536):
        got += splitter.feed(data[start : start + 65536])
    assert [one.body for one in got] == [body]


def body_of(event: bytes) -> bytes:
    return whole(event)[0].body


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(st.dictionaries(TEXT, TEXT))
def test_json_gives_every_text_back(headers):
    headers.pop("_body", None)
    event = parse_event_json(body_of(json_event(headers)))
    assert event.headers == headers


@given(TEXT)
def test_a_plain_value_never_becomes_a_header(value):
    headers = parse_event_plain(body_of(plain_event({"Event-Name": "A", "name": value, "last": "1"})))
    assert set(headers) == {"Event-Name", "name", "last"}
    assert headers["last"] == "1"


def test_a_plain_body_stays_as_it_is():
    headers = parse_event_plain(body_of(plain_event({"Event-Name": "A"}, b"+OK\n\n%41\nx: y\n")))
    assert headers["_body"] == "+OK\n\n%41\nx: y\n"


def test_an_array_reads_as_in_the_plain_format():
    event = parse_event_json(b'{"Event-Name":"A","list":["a","b"],"n":1,"none":null,"_body":"b"}')
    assert event.headers == {"Event-Name": "A", "list": "ARRAY::a|:b", "n": "1", "none": "null"}
    assert (event.name, event.subclass, event.body, event.data) == ("A", None, "b", "b")


def test_latin1_is_replaced_and_cannot_move_a_quote():
    event = parse_event_json(b'{"name":"Ren\xe9","x":"\xc3","Unique-ID":"leg"}')
    assert event.headers == {"name": "Ren\ufffd", "x": "\ufffd", "Unique-ID": "leg"}


@given(st.dictionaries(st.text("abc", min_size=1), st.binary(max_size=30)))
def test_any_bytes_in_strings_keep_the_structure(values):
    raw = b",".join(
        b'"%b":"%b"' % (name.encode(), bytes(byte for byte in value if byte >= 0x20 and byte not in b'"\\'))
        for name, value in values.items()
    )
    assert set(parse_event_json(b"{" + raw + b"}").headers) == set(values)


@given(st.binary(max_size=100))
def test_a_body_that_is_no_event_raises_only_valueerror(body):
    with contextlib.suppress(ValueError):
        assert isinstance(parse_event_json(body), Event)
    parse_event_plain(body)


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"{", b'{"a":', b"null", b"[" * 100_000])
def test_no_object_no_event(body):
    with pytest.raises(ValueError):  # noqa: PT011 - orjson's message is its own
        parse_event_json(body)


def test_an_event_cannot_be_changed():
    event = Event({"Event-Name": "A"})
    with pytest.raises(AttributeError):
        event.body = "x"  # type: ignore[misc]
    assert json.loads(orjson.dumps(event.headers)) == {"Event-Name": "A"}
