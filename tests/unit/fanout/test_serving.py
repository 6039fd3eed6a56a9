"""tickfan.fanout.serving: what comes next for who is off the shared path."""

from __future__ import annotations

import orjson

from tests.support.updates import conflated_feed, lossless_feed, update
from tickfan.core import closing
from tickfan.core.bounded import BoundedQueue
from tickfan.core.cursor import Trail
from tickfan.fanout.backlog import Backlog
from tickfan.fanout.openings import Opening
from tickfan.fanout.serving import STEP_BYTES, Slice, cut_at, next_slice
from tickfan.wire.formats import Formats

LINES = Formats().ndjson(chunked=False)


def backlog() -> Backlog:
    """An empty one, at the start of a lossless feed."""
    return Backlog(Trail({"trades": lossless_feed().place}), BoundedQueue(100, 10**6), 0)


def told(piece: Slice) -> list[str]:
    """The events of a slice, or the data of its updates."""
    lines = b"".join(piece.parts).decode().splitlines()
    rows = [orjson.loads(line) for line in lines]
    return [row.get("event") or str(row["data"]) for row in rows]


def test_events_come_before_openings_and_openings_before_updates() -> None:
    """A slice has an opening or updates, so that it stays within its bytes."""
    owed = backlog()
    owed.add_event(LINES.event("status", {}))
    head = [LINES.event("subscribed", {})]
    owed.add_opening(Opening(head, {}), ())
    owed.owe([update(lossless_feed(), seq=1024, data="due")])
    first, second = (next_slice(owed, LINES, None, None) for _ in range(2))
    assert told(first) == ["status", "subscribed", "snapshot_end"]
    assert (told(second), second.updates) == (["due"], 1)


def test_lossless_updates_come_before_newest_values() -> None:
    """Both in one slice: they are of different channels."""
    owed = backlog()
    owed.owe([update(lossless_feed(), seq=1024, data="every")])
    value = update(conflated_feed(), "quotes.a", data="newest")
    value.channel.latest = value
    owed.marks.mark(value.channel)
    piece = next_slice(owed, LINES, None, None)
    assert (told(piece), piece.updates, piece.over) == (["every", "newest"], 2, None)


def test_a_slice_is_bounded() -> None:
    """What is over waits for the next one."""
    owed = backlog()
    feed = lossless_feed()
    owed.owe([update(feed, seq=1024 * n, data=n, size=STEP_BYTES // 2) for n in range(1, 6)])
    counts = [next_slice(owed, LINES, None, None).updates for _ in range(4)]
    assert counts == [2, 2, 1, 0]


def test_the_end_that_was_asked_for_ends_it() -> None:
    """What is behind it is not sent."""
    owed = backlog()
    feed = lossless_feed()
    types = ("update", "done", "update")
    owed.owe([update(feed, seq=1024 * n, data=n, type_=type_) for n, type_ in enumerate(types, 1)])
    piece = next_slice(owed, LINES, "done", None)
    assert (piece.updates, piece.over) == (2, closing.DONE)


def test_nothing_is_cut_without_an_end() -> None:
    """Nor before the first of that type."""
    updates = [update(lossless_feed(), seq=1024), update(lossless_feed(), seq=2048, type_="done")]
    assert cut_at(updates, None) == (updates, False)
    assert cut_at(updates, "other") == (updates, False)
    assert cut_at(updates, "done") == (updates, True)
    assert cut_at(updates[::-1], "done") == (updates[1:], True)


def test_only_a_lossless_update_ends_a_stream() -> None:
    """A conflated value of that type is one like the others, also in a snapshot."""
    value = update(conflated_feed(), "quotes.a", data="newest", type_="done")
    last = update(lossless_feed(), seq=1024, data="every", type_="done")
    assert cut_at([value, last, value], "done") == ([value, last], True)
    assert cut_at([value], "done") == ([value], False)
