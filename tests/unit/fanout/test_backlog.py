"""What comes before the live updates: newest values, then full states."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW, conflated_feed, lossless_feed, update
from tickfan.core.conflating import ConflatingQueue
from tickfan.fanout.backlog import Opening, newest


@LAW
@given(st.lists(st.integers(1, 300), max_size=30), st.integers(1, 1000))
def test_slices_give_everything_once_in_order(sizes: list[int], size_most: int) -> None:
    """Whatever the slice: each value and each state's update comes once, in its order."""
    quotes, books = conflated_feed("quotes"), lossless_feed("book")
    values = [update(quotes, f"quotes.{n}", n, size=size) for n, size in enumerate(sizes)]
    for value in values:
        value.channel.latest = value
    marks = ConflatingQueue[object]()
    marks.mark_all(value.channel for value in values)
    states = [update(books, "book.X", n, seq=n, size=size) for n, size in enumerate(sizes)]
    opening = Opening([], marks, iter(states), {})  # type: ignore[arg-type]

    taken = []
    while some := opening.next(size_most):
        # One update may pass the bound, so that a large one cannot block.
        assert sum(entry.size for entry in some[:-1]) < size_most
        taken += some

    assert taken == [*values, *states]


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


def test_what_is_not_wanted_any_more_is_left_out() -> None:
    """Of a state that is half sent, too."""
    books = lossless_feed("book")
    states = [update(books, f"book.{n % 2}", n, seq=n, size=10) for n in range(6)]
    opening = Opening([], ConflatingQueue(), iter(states), {})
    assert opening.next(15) == states[:2]
    wanted = states[0].channel
    assert opening.only(lambda entry: entry.channel is wanted).next(100) == [states[2], states[4]]
