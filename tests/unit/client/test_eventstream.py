"""The SSE parser against the words of the WHATWG standard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan_client.errors import ProtocolError
from tickfan_client.eventstream import EventStream, ServerSentEvent
from tickfan_client.lines import Lines

CASES = [
    (b"data: a\n\n", [("message", "a", "")]),
    (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", "")]),
    (
        b": test\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [("message", "first event", "1"), ("message", "second event", ""),
         ("message", " third event", "")],
    ),
    (b"data\n\ndata\ndata\n\ndata:", [("message", "", ""), ("message", "\n", "")]),
    (b"data:test\n\ndata: test\n\n", [("message", "test", ""), ("message", "test", "")]),
    (b"event: gap\ndata: {}\n\ndata: x\n\n", [("gap", "{}", ""), ("message", "x", "")]),
    (b"event: lost\n\ndata: x\n\n", [("message", "x", "")]),
    (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n",
     [("message", "a", ""), ("message", "b", ""), ("message", "c", "")]),
    (b"\xef\xbb\xbfdata: bom\n\n", [("message", "bom", "")]),
    (b"\xef\xbb\xbf\xef\xbb\xbfdata: two\n\ndata: x\n\n", [("message", "x", "")]),
    (b"id: keep\ndata: a\n\nid: no\x00t\ndata: b\n\n",
     [("message", "a", "keep"), ("message", "b", "keep")]),
    (b"id: alone\n\ndata: a\n\n", [("message", "a", "alone")]),
    (b"Data: no\nfoo: bar\ndata : no\n\n", []),
    (b"data: \xff\n\n", [("message", "\ufffd", "")]),
    ("data: é\u2028\x85\x0b\x1c!\n\n".encode(), [("message", "é\u2028\x85\x0b\x1c!", "")]),
    (b"data: cut off\n", []),
]  # fmt: skip


@pytest.mark.parametrize(("body", "events"), CASES)
def test_standard(body: bytes, events: list[tuple[str, str, str]]) -> None:
    """The examples of the standard and its edges come out as it says."""
    assert EventStream().feed(body) == [ServerSentEvent(*event) for event in events]


def test_retry() -> None:
    """Only digits set the reconnection time; the last one stays."""
    stream = EventStream()
    stream.feed(b"retry: 2500\n\nretry: 1x\n\nretry:\n\nretry: -1\n\n")
    assert stream.retry_ms == 2500


LINES = st.sampled_from(
    [b"data: a", b"data", b"data:b", b"id: 1~t.1.AA", b"id", b"event: gap", b": comment", b"",
     b"", b"\xef\xbb\xbf", "data: é".encode(), b"id: \x00", b"data: c: d", b"retry: 5"]
)  # fmt: skip
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
BODIES = st.lists(st.tuples(LINES, ENDS).map(b"".join), max_size=40).map(b"".join)


@LAW
@given(body=BODIES, cuts=st.lists(st.integers(0, 300)))
def test_any_chunking(body: bytes, cuts: list[int]) -> None:
    """However the body is cut into pieces, the same events come out."""
    whole = EventStream().feed(body)
    stream, pieces, at = EventStream(), list[bytes](), 0
    for cut in sorted(cuts):
        pieces.append(body[at:cut])
        at = max(at, cut)
    pieces.append(body[at:])
    assert [event for piece in pieces for event in stream.feed(piece)] == whole


@LAW
@given(body=BODIES)
def test_byte_by_byte(body: bytes) -> None:
    """Single bytes are pieces too."""
    stream = EventStream()
    events = [event for at in range(len(body)) for event in stream.feed(body[at : at + 1])]
    assert events == EventStream().feed(body)


def test_long_line_is_refused() -> None:
    """A line that never ends is not collected without end."""
    lines = Lines(line_bytes_max=10)
    lines.feed(b"12345678")
    with pytest.raises(ProtocolError, match="longer than 10 bytes"):
        lines.feed(b"9abc")


def test_long_event_is_refused() -> None:
    """Many short data lines of one event count together."""
    stream = EventStream(event_bytes_max=40)
    with pytest.raises(ProtocolError, match="longer than 40 bytes"):
        stream.feed(b"data: 12345678\n" * 4)
