"""An event as a line: what was written is read, and nothing else is taken for it."""

import math

import pytest
from feedback_events import event
from hypothesis import given
from hypothesis import strategies as st

from gnas_serve.errors import RequestError
from gnas_serve.feedback.event import FeedbackEvent
from gnas_serve.feedback.frame import decode, encode

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
IDS = st.integers(-(2**63), 2**63 - 1) | TEXT.map(lambda text: text[:256])
EVENTS = st.builds(
    FeedbackEvent,
    event_id=TEXT.map(lambda text: text[:128]),
    user_id=IDS,
    item_id=IDS,
    event=TEXT.map(lambda text: text[:64]),
    value=st.none() | st.floats(-1e30, 1e30),
    timestamp=st.floats(-1e12, 1e12),
    model=st.text(st.characters(exclude_categories=["Cs"]), max_size=256),
    propensity=st.none() | st.floats(0, 1, exclude_min=True),
)


@given(EVENTS)
def test_what_was_written_is_read(written):
    written.check()
    line = encode(written)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    read = decode(line[:-1])
    assert read == written
    assert (type(read.user_id), type(read.item_id)) == (type(written.user_id), type(written.item_id))


@given(EVENTS, st.data())
def test_an_altered_line_is_none(written, data):
    line = bytearray(encode(written)[:-1])
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    assert decode(bytes(line)) is None


@given(EVENTS, st.data())
def test_a_part_of_a_line_is_none(written, data):
    line = encode(written)[:-1]
    assert decode(line[: data.draw(st.integers(0, len(line) - 1))]) is None
    assert decode(line + b"x") is None


@given(st.binary(max_size=200))
def test_other_bytes_are_none(raw):
    assert decode(raw) is None


@pytest.mark.parametrize(
    "payload", [b"[]", b"{}", b'["e",1,2,"",null,0.0,"v",null]', b'["e",1,2,"x",null,NaN,"v",null]']
)
def test_a_whole_line_that_is_no_event_of_ours_is_none(payload):
    from zlib import crc32

    assert decode(b"%08x %08x %b" % (len(payload), crc32(payload), payload)) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", ""),
        ("event_id", "x" * 129),
        ("event_id", "\ud800"),
        ("event_id", 7),
        ("user_id", True),
        ("user_id", 2**63),
        ("user_id", 1.0),
        ("item_id", "x" * 257),
        ("item_id", ""),
        ("item_id", None),
        ("event", ""),
        ("event", "x" * 65),
        ("value", math.nan),
        ("value", math.inf),
        ("value", 1e39),
        ("value", True),
        ("value", "5"),
        ("timestamp", None),
        ("timestamp", math.nan),
        ("timestamp", 1e13),
        ("model", "x" * 257),
        ("model", None),
        ("propensity", 0.0),
        ("propensity", 1.5),
    ],
)
def test_fields_out_of_bounds_are_refused_by_name(field, value):
    with pytest.raises(RequestError, match=f"^{field}: expected") as caught:
        event(1)._replace(**{field: value}).check()
    assert caught.value.hint


def test_ids_have_digests_of_sixteen_bytes_of_their_own():
    digests = {event(number).digest for number in range(1000)}
    assert len(digests) == 1000
    assert {len(digest) for digest in digests} == {16}
    assert event(1).digest == event(1, user_id="another").digest
