"""The cheap counters agree with the service's own formats, however bytes are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.bench.counting import BytesOnly, FrameCounter, MarkCounter, StompCounter, counter
from tests.support.updates import LAW, conflated_feed, lossless_feed, update
from tickfan.core.cursor import Trail
from tickfan.wire.base import Encodings
from tickfan.wire.eventstream import EventStream
from tickfan.wire.framing import PING_FRAME, binary_frame, chunk, text_frame
from tickfan.wire.messages import MsgpackMessages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.bench.counting import Counter
    from tickfan.wire.base import Format

sizes = st.lists(st.integers(1, 40), min_size=1, max_size=6)
cuts = st.lists(st.integers(1, 200))


def pieces(data: bytes, lengths: list[int]) -> Iterator[memoryview]:
    """``data`` cut at these lengths, the rest as one."""
    at = 0
    for length in lengths:
        if data[at : at + length]:
            yield memoryview(data[at : at + length])
        at += length
    if data[at:]:
        yield memoryview(data[at:])


def batches(format_: Format, sizes: list[int]) -> bytes:
    """A conflated stream in this format: what it begins with, then live updates."""
    feed = conflated_feed()
    data = format_.event("welcome", {}) + format_.event("subscribed", {})
    for size in sizes:
        data += format_.live([update(feed, f"a{i}", "x" * i) for i in range(size)], None)
    return data + format_.event("closing", {})


@LAW
@given(sizes, cuts)
def test_rows_are_counted_however_the_stream_is_cut(sizes: list[int], cuts: list[int]) -> None:
    """A frame's rows come from its array's head; other messages count nothing."""
    counted = FrameCounter(rows=True)
    for piece in pieces(batches(MsgpackMessages(Encodings()), sizes), cuts):
        counted.feed(piece)

    assert counted.updates == sum(sizes)


def test_rows_of_a_large_batch() -> None:
    """More than 15 rows have a longer head, 64 KiB a longer frame."""
    feed = lossless_feed()
    updates = [update(feed, "a", "y" * 1000) for _ in range(100)]
    counted = FrameCounter(rows=True)
    counted.feed(memoryview(MsgpackMessages(Encodings()).live(updates, Trail())))

    assert counted.updates == 100


@LAW
@given(sizes, cuts)
def test_events_are_counted_however_the_stream_is_cut(sizes: list[int], cuts: list[int]) -> None:
    """Each update of an event stream counts once; other events do not."""
    counted = counter("sse")
    for piece in pieces(batches(EventStream(chunk, Encodings()), sizes), cuts):
        counted.feed(piece)

    assert counted.updates == sum(sizes)


@LAW
@given(st.lists(st.integers(0, 70_000), max_size=4), cuts)
def test_every_data_frame_of_a_peer_is_an_update(sizes: list[int], cuts: list[int]) -> None:
    """Text or binary, of any length; pings are counted apart, for their pongs."""
    data = PING_FRAME
    for index, size in enumerate(sizes):
        data += (text_frame if index % 2 else binary_frame)(b"z" * size)
    counted = FrameCounter(rows=False)
    for piece in pieces(data, cuts):
        counted.feed(piece)

    assert counted.updates == len(sizes)
    assert counted.pings == 1


@LAW
@given(sizes, cuts)
def test_stomp_messages_are_counted_however_the_stream_is_cut(
    sizes: list[int], cuts: list[int]
) -> None:
    """A MESSAGE is an update; what RabbitMQ says besides, and a heartbeat, are none."""
    data = text_frame(b"CONNECTED\nversion:1.2\n\n\0\n") + text_frame(b"RECEIPT\n\n\0\n")
    for size in sizes:
        data += text_frame(b"MESSAGE\nsubscription:0\n\n" + b"z" * size + b"\0\n")
        data += text_frame(b"\n") + text_frame(b"") + PING_FRAME
    counted = counter("stomp")
    for piece in pieces(data, cuts):
        counted.feed(piece)

    assert counted.updates == len(sizes)
    assert counted.pings == len(sizes)


def test_a_mark_across_three_pieces_counts_once() -> None:
    """What is kept between pieces is shorter than the mark."""
    counted = MarkCounter(b"data: ")
    for piece in (b"..da", b"t", b"a: data: x", b"data"):
        counted.feed(memoryview(piece))

    assert counted.updates == 2


@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        ("rows", FrameCounter),
        ("frames", FrameCounter),
        ("stomp", StompCounter),
        ("sse", MarkCounter),
        ("bytes", BytesOnly),
    ],
)
def test_each_wire_has_its_counter(wire: str, kind: type[Counter]) -> None:
    """Rows and frames differ only in what a frame counts for."""
    assert isinstance(counter(wire), kind)
