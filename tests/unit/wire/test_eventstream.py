"""Server-Sent Events, read by httpx-sse."""

from __future__ import annotations

import pytest
from hypothesis import given

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
    Event,
    Seen,
    cursors,
    dechunked,
    expected,
    seen_in_gap,
    seen_in_object,
    sse_events,
)
from tickfan.core.cursor import START, Trail, place
from tickfan.core.update import GAP, SNAPSHOT, UPDATE, Update
from tickfan.wire.base import Encodings
from tickfan.wire.eventstream import EventStream
from tickfan.wire.framing import chunk, plain


def seen(event: Event) -> Seen:
    """An update or a gap; the event's name must fit what is in it."""
    if event.name == "gap":
        return seen_in_gap(event.data)
    found = seen_in_object(event.data)
    unnamed = found.type in (UPDATE, SNAPSHOT)
    assert event.name == ("message" if unnamed else found.type)
    return found


@LAW
@given(updates=conflated_updates())
def test_conflated_updates_are_read_back(updates: list[Update]) -> None:
    """In order, without a cursor, and once however often they are written."""
    encodings = Encodings()
    stream = EventStream(chunk, encodings)
    written = stream.live(updates, None)
    events = sse_events(dechunked(written))
    assert [seen(event) for event in events] == expected(updates)
    assert all(event.id == "" for event in events)
    assert stream.live(updates, None) == written
    assert encodings.total == encodings.json_objects == len(updates)


@LAW
@given(updates=lossless_updates())
def test_lossless_updates_are_read_back(updates: list[Update]) -> None:
    """With gaps and types between, each with the cursor that follows it."""
    encodings = Encodings()
    stream = EventStream(chunk, encodings)
    start = {"quiet": place("quiet", 3, START)}
    trail = Trail(start)
    events = sse_events(dechunked(stream.live(updates, trail)))
    assert [seen(event) for event in events] == expected(updates)
    assert [event.id for event in events] == cursors(updates, start)
    assert trail.text() == events[-1].id
    assert encodings.total == sum(one.type != GAP for one in updates)


@LAW
@given(updates=conflated_updates() | lossless_updates())
def test_snapshots_are_read_back(updates: list[Update]) -> None:
    """Marked, unnamed, without a cursor: so onmessage gets them all."""
    kept = [one for one in updates if one.type != GAP] or [update(conflated_feed())]
    encodings = Encodings()
    stream = EventStream(plain, encodings)
    stream.live(kept, None)
    events = sse_events(stream.snapshot(kept))
    assert [seen(event) for event in events] == expected(kept, snapshot=True)
    assert all(event.id == "" for event in events)
    assert encodings.total == len(kept)


@pytest.mark.parametrize("text", NASTY)
def test_no_text_ends_an_event(text: str) -> None:
    """Neither as a value nor as a key, in updates and in events."""
    stream = EventStream(plain, Encodings())
    data = {text: [text]}
    (event,) = sse_events(stream.live([update(conflated_feed(), data=data)], None))
    assert event.data["data"] == data
    (event,) = sse_events(stream.event("status", {"why": text}))
    assert event == Event("status", "", {"why": text}, None)


def test_events_carry_their_cursor() -> None:
    """Where a client may resume from it, and only there."""
    stream = EventStream(chunk, Encodings())
    body = stream.event("heartbeat", {"now": 1}, "1~a.1.AAAAAAAAAAA") + stream.event("status", {})
    assert sse_events(dechunked(body)) == [
        Event("heartbeat", "1~a.1.AAAAAAAAAAA", {"now": 1}, None),
        Event("status", "1~a.1.AAAAAAAAAAA", {}, None),  # the last id stays, by the standard
    ]
    assert b"id:" not in stream.event("status", {})


def test_the_opening_sets_the_delay() -> None:
    """``retry`` comes with the first event."""
    stream = EventStream(plain, Encodings())
    assert sse_events(stream.opening("subscribed", {"a": 1}, 2345)) == [
        Event("subscribed", "", {"a": 1}, 2345)
    ]


def test_a_book_is_one_stream() -> None:
    """A full state stays unnamed, beside the changes; other types name their event."""
    feed = lossless_feed()
    updates = [update(feed, type_=type_) for type_ in (SNAPSHOT, UPDATE, "done")]
    events = sse_events(EventStream(plain, Encodings()).live(updates, Trail()))
    assert [event.name for event in events] == ["message", "message", "done"]
    assert [event.data.get("type") for event in events] == ["snapshot", None, "done"]
