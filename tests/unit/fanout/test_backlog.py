"""tickfan.fanout.backlog: newest values, and what an audience flushes."""

from __future__ import annotations

from tests.support.updates import conflated_feed, update
from tickfan.core.conflating import ConflatingQueue
from tickfan.fanout.backlog import newest


def test_the_value_is_the_newest_when_it_is_taken() -> None:
    """A mark holds no value."""
    quotes = conflated_feed("quotes")
    old = update(quotes, "quotes.A", 1, size=10)
    marks = ConflatingQueue[object]()
    marks.mark(old.channel)
    new = update(quotes, "quotes.A", 2, size=10)
    new.channel.latest = new
    assert newest(marks, 100) == [new]  # type: ignore[arg-type]
    assert newest(marks, 100) == []  # type: ignore[arg-type]
