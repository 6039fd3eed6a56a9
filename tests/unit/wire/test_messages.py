"""WebSocket messages in both encodings, unframed by websockets and decoded by others."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.support.updates import (
    LAW,
    NASTY,
    conflated_feed,
    conflated_updates,
    lossless_feed,
    lossless_updates,
    update,
)
from tests.unit.wire.readers import (
    Seen,
    cursors,
    expected,
    frames,
    messages,
    seen_in_gap,
    seen_in_row,
)
from tickfan.config.sections import StreamSettings
from tickfan.core.cursor import CURSOR_BYTES_MAX, START, Trail, place
from tickfan.core.update import GAP, SNAPSHOT, Update
from tickfan.wire.base import Encodings
from tickfan.wire.messages import UPDATES_BYTES_MAX, JsonMessages, MsgpackMessages, row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Wire = MsgpackMessages | JsonMessages

BOTH = pytest.mark.parametrize("kind", [MsgpackMessages, JsonMessages])


class Message(NamedTuple):
    """A batch or a gap."""

    seen: list[Seen]
    cursor: str | None


def read(data: bytes) -> list[Message]:
    """The messages with updates in them."""
    found = []
    for value in messages(data):
        if value["t"] == "gap":
            found.append(Message([seen_in_gap(value)], value.get("c")))
            continue
        assert value["t"] == "updates"
        assert value.keys() <= {"t", "u", "c", "snapshot"}
        assert value.get("snapshot", True) is True
        seen = [seen_in_row(one, snapshot="snapshot" in value) for one in value["u"]]
        found.append(Message(seen, value.get("c")))
    return found


def flat(found: Sequence[Message]) -> list[Seen]:
    """The updates of all messages."""
    return [one for message in found for one in message.seen]


def check_cursors(found: Sequence[Message], after_each: Sequence[str]) -> None:
    """Each message's cursor is the one after its last update."""
    count = 0
    for message in found:
        count += len(message.seen)
        assert message.cursor == after_each[count - 1]
    assert count == len(after_each)


def encoded(encodings: Encodings, wire: Wire) -> int:
    """How many rows this wire encoded; the others must have encoded none."""
    is_binary = isinstance(wire, MsgpackMessages)
    own = encodings.msgpack_rows if is_binary else encodings.json_rows
    assert encodings.total == own
    return own


@BOTH
@LAW
@given(updates=conflated_updates())
def test_conflated_updates_are_read_back(kind: Callable[..., Wire], updates: list[Update]) -> None:
    """One message, in order, without a cursor, and once however often it is written."""
    encodings = Encodings()
    wire = kind(encodings)
    written = wire.live(updates, None)
    assert read(written) == [Message(expected(updates), None)]
    assert wire.live(updates, None) == written
    assert encoded(encodings, wire) == len(updates)


@BOTH
@LAW
@given(updates=lossless_updates())
def test_lossless_updates_are_read_back(kind: Callable[..., Wire], updates: list[Update]) -> None:
    """Batches split around gaps, each with the cursor that follows it."""
    encodings = Encodings()
    wire = kind(encodings)
    start = {"quiet": place("quiet", 3, START)}
    trail = Trail(start)
    found = read(wire.live(updates, trail))
    assert flat(found) == expected(updates)
    after_each = cursors(updates, start)
    check_cursors(found, after_each)
    assert trail.text() == after_each[-1]
    assert encoded(encodings, wire) == sum(one.type != GAP for one in updates)
    # Nothing is split without need: neighbours are of different kinds.
    kinds = [message.seen[0].type == GAP for message in found]
    assert all(one or other for one, other in itertools.pairwise(kinds))


@BOTH
@LAW
@given(updates=conflated_updates() | lossless_updates())
def test_snapshots_are_read_back(kind: Callable[..., Wire], updates: list[Update]) -> None:
    """Marked beside the rows, without a cursor."""
    kept = [one for one in updates if one.type != GAP] or [update(conflated_feed())]
    assert read(kind(Encodings()).snapshot(kept)) == [Message(expected(kept, snapshot=True), None)]


@BOTH
@pytest.mark.parametrize("count", [1, 15, 16, 17, 4000])
def test_batches_of_every_header_form(kind: Callable[..., Wire], count: int) -> None:
    """At the borders of MessagePack's array headers, with and without a mark."""
    feed = conflated_feed()
    updates = [update(feed, data=number) for number in range(count)]
    wire = kind(Encodings(), 2**20)
    assert read(wire.live(updates, None)) == [Message(expected(updates), None)]
    assert flat(read(wire.snapshot(updates))) == expected(updates, snapshot=True)


@pytest.mark.parametrize("count", [1, 15, 16, 30_000])
def test_array_headers(count: int) -> None:
    """A batch counts its rows in the shortest form, as the library itself would choose it."""
    updates = [update(lossless_feed(), data=None)] * count
    (frame,) = frames(MsgpackMessages(Encodings(), 2**18).live(updates, Trail()))
    value = msgpack.unpackb(frame.data)
    assert len(value["u"]) == count
    assert frame.data == msgpack.packb(value)


def test_no_message_has_more_rows_than_its_header_can_count() -> None:
    """Even the shortest rows that there are fill the largest message before they are 65,536."""
    most = 2**18
    assert StreamSettings(updates_bytes_max=most)
    with pytest.raises(ValidationError):
        StreamSettings(updates_bytes_max=most + 1)
    shortest = update(conflated_feed(), "a", data=None)
    assert len(msgpack.packb(row(shortest))) * 65_536 > most
    found = messages(MsgpackMessages(Encodings(), most).live([shortest] * 65_536, None))
    assert len(found) == 2
    assert sum(len(message["u"]) for message in found) == 65_536


def sized(updates: Sequence[tuple[int, bool]]) -> list[Update]:
    """Lossless updates with data of about these sizes, or gaps."""
    feeds = [lossless_feed("a"), lossless_feed("b")]
    return [
        update(feeds[number % 2], data="bad_json" if is_gap else "x" * size,
               type_=GAP if is_gap else "update")
        for number, (size, is_gap) in enumerate(updates)
    ]  # fmt: skip


SIZES = st.sampled_from([0, 200, 7_500, 16_000, 31_000, UPDATES_BYTES_MAX, 40_000])


@BOTH
@settings(LAW, max_examples=40)
@given(sizes=st.lists(st.tuples(SIZES, st.integers(0, 9).map(lambda n: n == 0)), min_size=1,
                      max_size=15))  # fmt: skip
def test_large_batches_are_split(kind: Callable[..., Wire], sizes: list[tuple[int, bool]]) -> None:
    """No frame is over the limit unless one row is, and each cursor is exact."""
    updates = sized(sizes)
    data = kind(Encodings()).live(updates, Trail())
    found = read(data)
    assert flat(found) == expected(updates)
    check_cursors(found, cursors(updates, {}))
    for message, frame in zip(found, frames(data), strict=True):
        assert len(frame.data) + 10 <= UPDATES_BYTES_MAX or len(message.seen) == 1
        assert message.seen


@BOTH
def test_many_small_rows_stay_under_the_limit(kind: Callable[..., Wire]) -> None:
    """The bytes between the rows count too, in snapshots as in live updates."""
    feed = lossless_feed("f" * 32)
    updates = [update(feed, data=number) for number in range(40_000)]
    wire = kind(Encodings())
    for data in (wire.live(updates, Trail()), wire.snapshot(updates)):
        found = frames(data)
        assert len(found) > 2
        assert all(len(frame.data) + 10 <= UPDATES_BYTES_MAX for frame in found)
        # ... and are not split far below it.
        assert all(len(frame.data) > UPDATES_BYTES_MAX * 0.85 for frame in found[:-1])
        assert [one.seq for one in flat(read(data))] == list(range(40_000))


@BOTH
@pytest.mark.parametrize("rows", [2, 6000])
def test_near_the_limit_everything_counts(kind: Callable[..., Wire], rows: int) -> None:
    """The longest cursor, the commas and the frame fit with rows that just about fill it."""
    places = {
        letter + "x" * 31: place(letter + "x" * 31, 2**53 - 1, START)
        for letter in "abcdefghijklmnop"
    }
    assert len(Trail(places).text()) == CURSOR_BYTES_MAX
    for missing in range(0, 9000, 250):
        feed = lossless_feed("a" + "x" * 31)
        size = (UPDATES_BYTES_MAX - missing) // rows - 16
        updates = [update(feed, data="x" * size, seq=2**50 + number) for number in range(rows)]
        found = frames(kind(Encodings()).live(updates, Trail(places)))
        assert all(len(frame.data) + 10 <= UPDATES_BYTES_MAX for frame in found)


@BOTH
@pytest.mark.parametrize("text", NASTY)
def test_no_text_ends_a_message(kind: Callable[..., Wire], text: str) -> None:
    """Neither as a value nor as a key, in updates and in events."""
    wire = kind(Encodings())
    data = {text: [text]}
    (batch,) = messages(wire.live([update(conflated_feed(), data=data)], None))
    assert batch["u"][0][3] == data
    assert messages(wire.event("status", {"why": text})) == [{"t": "status", "why": text}]


@BOTH
def test_events_say_what_they_are(kind: Callable[..., Wire]) -> None:
    """With the cursor or the delay where there is one."""
    wire = kind(Encodings())
    body = wire.opening("welcome", {"a": 1}, 2345) + wire.event("heartbeat", {"n": 2}, "1~x")
    assert messages(body) == [
        {"t": "welcome", "a": 1, "retry_ms": 2345},
        {"t": "heartbeat", "n": 2, "c": "1~x"},
    ]


@BOTH
def test_a_failed_encoding_harms_no_later_one(kind: Callable[..., Wire]) -> None:
    """The packer is kept between messages: it must forget what it could not say."""
    wire = kind(Encodings())
    with pytest.raises(TypeError):
        wire.event("status", {"a": "x" * 100, "why": object()})
    assert messages(wire.event("status", {})) == [{"t": "status"}]


def test_kept_rows_are_no_larger_than_they_must_be() -> None:
    """Both encodings stay on the update as long as it is in a history."""
    feed = conflated_feed()
    updates = [update(feed, data=number) for number in range(1000)]
    wires = [kind(Encodings()) for kind in (MsgpackMessages, JsonMessages)]
    tracemalloc.start()
    try:
        for wire in wires:
            wire.live(updates, None)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1000 * 2 * 100


def test_rows_are_as_short_as_they_can_be() -> None:
    """``prev`` and the type only where they say something."""
    quotes, trades = conflated_feed(), lossless_feed()
    rows: list[list[Any]] = [
        row(update(quotes, "q", 1, ts=5)),
        row(update(quotes, "q", 2, ts=5, type_=SNAPSHOT)),
        row(update(trades, "t", 3, ts=5, seq=7)),
        row(update(trades, "t", 4, ts=5, seq=9)),
        row(update(trades, "t", 5, ts=5, seq=11, type_="done")),
    ]
    assert rows == [
        ["q", 1, 5, 1],
        ["q", 2, 5, 2, None, "snapshot"],
        ["t", 7, 5, 3, None],
        ["t", 9, 5, 4, 7],
        ["t", 11, 5, 5, 9, "done"],
    ]


def test_our_own_numbers_stay_integers_however_large() -> None:
    """A float64 would be a number to each JavaScript decoder, and a float to all others."""
    feed = lossless_feed()
    seq, ts = 4_200_001 * 1024, 1_763_596_800_123
    update(feed, "t", 1, ts=ts, seq=seq)
    frame = MsgpackMessages(Encodings()).live([update(feed, "t", 2, ts=ts, seq=seq + 1024)], None)
    for number in (seq, seq + 1024, ts):
        assert b"\xcf" + number.to_bytes(8, "big") in frame
    [[_, *numbers, _, prev]] = messages(frame)[0]["u"]
    assert [*map(type, numbers), type(prev)] == [int] * 3
