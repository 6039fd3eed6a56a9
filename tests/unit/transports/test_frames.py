"""tickfan.transports.frames: clients' frames, against an encoder of the test's own."""

from __future__ import annotations

import struct

import pytest
from aiohttp import WebSocketError
from hypothesis import given
from hypothesis import strategies as st

from tests.support.memory import held_bytes
from tests.support.updates import LAW
from tickfan.transports.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PIECES_MAX,
    PING,
    PONG,
    TEXT,
    FrameReader,
    close_code,
    close_frame,
    control_frame,
)

MAX = 300
NEVER_SENT = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
MAY_BE_SENT = (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4000, 4999)
MASKS = st.binary(min_size=4, max_size=4)
CONTROLS = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))
MESSAGES = st.one_of(
    st.tuples(st.just(BINARY), st.lists(st.binary(max_size=130), min_size=1, max_size=2)),
    st.tuples(
        st.just(TEXT),
        st.lists(st.text(max_size=30).map(str.encode), min_size=1, max_size=2),
    ),
)


def frame(first: int, body: bytes, mask: bytes | None = b"\1\2\3\4") -> bytes:
    size = len(body)
    flag = 0 if mask is None else 0x80
    if size < 126:
        head = bytes((first, flag | size))
    elif size < 65536:
        head = struct.pack("!BBH", first, flag | 126, size)
    else:
        head = struct.pack("!BBQ", first, flag | 127, size)
    if mask is None:
        return head + body
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(body))


def read(reader: FrameReader, data: bytes) -> list[tuple[int, bytes]]:
    reader.add(data)
    found = []
    while (message := reader.next()) is not None:
        found.append(message)
    return found


@LAW
@given(st.lists(st.tuples(MESSAGES, MASKS, st.lists(CONTROLS, max_size=2)), max_size=6), st.data())
def test_messages_come_whole_however_they_are_cut(
    sent: list[tuple[tuple[int, list[bytes]], bytes, list[tuple[int, bytes]]]],
    data: st.DataObject,
) -> None:
    """In one frame or several, with control frames between, in any pieces."""
    wire, due = b"", []
    for (kind, parts), mask, controls in sent:
        for index, part in enumerate(parts):
            is_last = index == len(parts) - 1
            wire += frame((0x80 if is_last else 0) | (CONTINUATION if index else kind), part, mask)
            if is_last:
                due.append((kind, b"".join(parts)))
            for control, body in controls:
                wire += frame(0x80 | control, body, mask)
                due.append((control, body))
    reader, found = FrameReader(MAX), []
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        found += read(reader, wire[:size])
        wire = wire[size:]
    assert found == due
    assert len(reader) == 0


def test_between_messages_a_reader_holds_nothing() -> None:
    """Of thousands of quiet clients no last command is kept."""
    reader = FrameReader(MAX)
    reader.add(frame(0x80 | TEXT, b"x" * 200))
    assert reader.next() == (TEXT, b"x" * 200)  # and is not asked for another
    other = FrameReader(MAX)
    other.add(frame(0x80 | TEXT, b""))
    assert other.next() == (TEXT, b"")
    assert held_bytes(reader) == held_bytes(other) <= held_bytes(FrameReader(MAX)) + 32


def test_the_beginning_of_a_frame_holds_nothing_that_was_read() -> None:
    """One byte behind a flood does not keep the flood."""
    reader = FrameReader(MAX)
    found = read(reader, frame(0x80 | PONG, b"") * 40_000 + b"\x82")
    assert found == [(PONG, b"")] * 40_000
    assert reader.frames == 0
    assert len(reader) == 1
    assert held_bytes(reader) <= held_bytes(FrameReader(MAX)) + 1


def test_a_message_in_too_many_frames_is_too_big() -> None:
    """Empty ones have no size, and without an end they would hold the loop."""
    begun = frame(TEXT, b"") + frame(0, b"") * (PIECES_MAX - 2)
    for wire in (begun, frame(TEXT, b"") + frame(0x80, b"") + begun):  # counted anew
        reader = FrameReader(MAX)
        read(reader, wire)
        reader.add(frame(0x80, b"x"))
        assert (reader.next(), reader.frames) == ((TEXT, b"x"), 1)
    reader = FrameReader(MAX)
    with pytest.raises(WebSocketError) as error:
        read(reader, begun + frame(0, b"") * 40_000)
    assert error.value.code == 1009
    assert len(reader) == 39_999 * len(frame(0, b""))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xf1\x80\0\0\0\0", 1002),
        (frame(0x83, b""), 1002),
        (frame(0x80 | CONTINUATION, b"of nothing"), 1002),
        (frame(TEXT, b"begun") + frame(0x80 | TEXT, b"another"), 1002),
        (frame(PING, b"in pieces"), 1002),
        (frame(0x80 | PING, b"x" * 126), 1002),
        (frame(0x80 | CLOSE, b"\3"), 1002),
        *((frame(0x80 | CLOSE, struct.pack("!H", code)), 1002) for code in NEVER_SENT),
        (frame(0x80 | CLOSE, b"\3\xe8\xff"), 1007),
        (frame(0x80 | TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, "é".encode()[:1]) + frame(0x80, b"x"), 1007),
        (frame(0x80 | BINARY, b"x" * (MAX + 1))[:4], 1009),  # before it is here
        (frame(BINARY, b"x" * MAX) + frame(0x80, b"x"), 1009),
        (b"\x82\xff" + struct.pack("!Q", 2**63 - 1), 1009),
        (b"\x82\xff" + struct.pack("!Q", 2**63), 1002),
        (b"\x82\xff" + b"\xff" * 8, 1002),
        (b"\x82\xff" + struct.pack("!Q", 2**16 - 1), 1002),
        (b"\x82\xff" + struct.pack("!Q", 5), 1002),
        (b"\x82\xfe" + struct.pack("!H", 125), 1002),
        (b"\x82\xfe\0\0", 1002),
    ],
)
def test_what_breaks_the_protocol_is_named_by_a_close_code(data: bytes, code: int) -> None:
    """RFC 6455, section 7.4.1."""
    with pytest.raises(WebSocketError) as error:
        read(FrameReader(MAX), data)
    assert error.value.code == code


@pytest.mark.parametrize("first", [0x80 | BINARY, 0x80 | PING, 0x80 | CLOSE])
def test_a_client_must_mask(first: int) -> None:
    """RFC 6455, section 5.1: what is not masked ends the connection."""
    with pytest.raises(WebSocketError) as error:
        read(FrameReader(MAX), frame(first, b"", None))
    assert error.value.code == 1002


@pytest.mark.parametrize("code", MAY_BE_SENT)
@pytest.mark.parametrize("why", [b"", b"bye"])
def test_a_close_may_say_why(code: int, why: bytes) -> None:
    """A registered code or one of one's own (section 7.4.2), and a reason."""
    body = struct.pack("!H", code) + why
    assert read(FrameReader(MAX), frame(0x80 | CLOSE, body)) == [(CLOSE, body)]
    assert close_code(body) == code


def test_a_close_may_say_nothing() -> None:
    """It is answered as a normal one."""
    assert read(FrameReader(MAX), frame(0x80 | CLOSE, b"")) == [(CLOSE, b"")]
    assert close_code(b"") == 1000


@pytest.mark.parametrize("size", [125, 126, 127, 65535, 65536])
def test_the_shortest_length_is_taken(size: int) -> None:
    """At both of its borders (section 5.2)."""
    body = bytes(size)
    assert read(FrameReader(2**17), frame(0x80 | BINARY, body)) == [(BINARY, body)]


def test_our_control_frames() -> None:
    """Unmasked and final."""
    assert control_frame(PONG, b"ab") == b"\x8a\x02ab"
    assert close_frame(4003, "drain") == b"\x88\x07\x0f\xa3drain"
