"""Newline-delimited JSON, line by line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tests.support.updates import (
    LAW,
    NASTY,
    conflated_feed,
    conflated_updates,
    lossless_updates,
    update,
)
from tests.unit.wire.readers import (
    Seen,
    cursors,
    dechunked,
    expected,
    ndjson_lines,
    seen_in_gap,
    seen_in_object,
)
from tickfan.core.cursor import START, Trail, place
from tickfan.core.update import GAP, Update
from tickfan.wire.base import Encodings
from tickfan.wire.framing import chunk, plain
from tickfan.wire.ndjson import Ndjson


def seen(line: dict[str, Any]) -> Seen:
    """An update, or a gap if the line names that event."""
    if "event" not in line:
        return seen_in_object(line)
    assert line["event"] == "gap"
    return seen_in_gap(line)


@LAW
@given(updates=conflated_updates())
def test_conflated_updates_are_read_back(updates: list[Update]) -> None:
    """In order, without a cursor, and once however often they are written."""
    encodings = Encodings()
    ndjson = Ndjson(chunk, encodings)
    written = ndjson.live(updates, None)
    lines = ndjson_lines(dechunked(written))
    assert [seen(line) for line in lines] == expected(updates)
    assert not any("cursor" in line for line in lines)
    assert ndjson.live(updates, None) == written
    assert encodings.total == encodings.json_objects == len(updates)


@LAW
@given(updates=lossless_updates())
def test_lossless_updates_are_read_back(updates: list[Update]) -> None:
    """With gaps and types between, each with the cursor that follows it."""
    encodings = Encodings()
    start = {"quiet": place("quiet", 3, START)}
    trail = Trail(start)
    lines = ndjson_lines(dechunked(Ndjson(chunk, encodings).live(updates, trail)))
    assert [seen(line) for line in lines] == expected(updates)
    assert [line["cursor"] for line in lines] == cursors(updates, start)
    assert trail.text() == lines[-1]["cursor"]
    assert encodings.total == sum(one.type != GAP for one in updates)


@LAW
@given(updates=conflated_updates() | lossless_updates())
def test_snapshots_are_read_back(updates: list[Update]) -> None:
    """Marked, and without a cursor."""
    kept = [one for one in updates if one.type != GAP] or [update(conflated_feed())]
    lines = ndjson_lines(Ndjson(plain, Encodings()).snapshot(kept))
    assert [seen(line) for line in lines] == expected(kept, snapshot=True)
    assert not any("cursor" in line for line in lines)


@pytest.mark.parametrize("text", NASTY)
def test_no_text_ends_a_line(text: str) -> None:
    """Neither as a value nor as a key, in updates and in events."""
    ndjson = Ndjson(plain, Encodings())
    data = {text: [text]}
    (line,) = ndjson_lines(ndjson.live([update(conflated_feed(), data=data)], None))
    assert line["data"] == data
    assert ndjson_lines(ndjson.event("status", {"why": text})) == [{"event": "status", "why": text}]


def test_events_say_what_they_are() -> None:
    """With the cursor or the delay where there is one."""
    ndjson = Ndjson(chunk, Encodings())
    body = ndjson.opening("subscribed", {"a": 1}, 2345) + ndjson.event("heartbeat", {}, "1~x")
    assert ndjson_lines(dechunked(body)) == [
        {"event": "subscribed", "a": 1, "retry_ms": 2345},
        {"event": "heartbeat", "cursor": "1~x"},
    ]
