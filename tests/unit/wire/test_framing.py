"""Chunks and frames, read by parsers that are not ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Opcode

from tests.support.updates import LAW
from tests.unit.wire.readers import dechunked, frames
from tickfan.wire.framing import PING_FRAME, binary_frame, chunk, plain, text_frame

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 70000]


@pytest.mark.parametrize("size", SIZES)
def test_frames_of_every_length_form(size: int) -> None:
    """At each border of the length field the body comes out whole, with what follows it."""
    body = b"x" * size
    text, binary = frames(text_frame(body) + binary_frame(body))
    assert (text.opcode, binary.opcode) == (Opcode.TEXT, Opcode.BINARY)
    assert text.data == binary.data == body


@pytest.mark.parametrize(("size", "head"), [(125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_the_shortest_length_form_is_used(size: int, head: int) -> None:
    """RFC 6455, 5.2: the minimal number of bytes must be used."""
    assert len(binary_frame(b"x" * size)) == size + head


def test_the_ping_is_an_empty_ping() -> None:
    """One frame, without a body."""
    (ping,) = frames(PING_FRAME)
    assert (ping.opcode, ping.data) == (Opcode.PING, b"")


@LAW
@given(bodies=st.lists(st.binary(min_size=1, max_size=300), max_size=8))
def test_chunks_are_read_back(bodies: list[bytes]) -> None:
    """Whatever the bytes, the chunked body is their sum."""
    assert dechunked(b"".join(map(chunk, bodies))) == b"".join(bodies)


@pytest.mark.parametrize("size", [1, 9, 10, 15, 16, 255, 256, 65536])
def test_chunk_sizes_are_hexadecimal(size: int) -> None:
    """At each new digit, too."""
    assert dechunked(chunk(b"\r" * size)) == b"\r" * size


def test_plain_adds_nothing() -> None:
    """HTTP/1.0 knows no chunks."""
    assert plain(b"0\r\n\r\n") == b"0\r\n\r\n"
