"""One order book: snapshot and deltas add up to its state, for any walk."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tests.unit.market.bookreader import Reader
from tickfan.market.instruments import INSTRUMENTS, Instrument
from tickfan.market.orderbook import LEVELS, SNAPSHOT_EVERY, OrderBook

SEEDS = st.integers(0, 2**32)
# Small steps as the market makes them, and jumps past every level.
MOVES = st.integers(-3, 3) | st.integers(-30, 30)


class Walk:
    """A book that is moved from place to place."""

    def __init__(self, seed: int, thing: Instrument = INSTRUMENTS[0]) -> None:
        self.thing = thing
        self.bid = thing.start
        self.book = OrderBook(thing, Random(seed))

    def step(self, move: int = 1, spread: int = 2) -> tuple[str | None, dict[str, Any]]:
        """The next update's type and data."""
        self.bid += move
        is_snapshot, data = self.book.update(self.bid, self.bid + spread)
        return ("snapshot" if is_snapshot else None), data


@given(
    seed=SEEDS,
    thing=st.sampled_from(INSTRUMENTS),
    walk=st.lists(
        st.tuples(MOVES, st.integers(1, 15), st.sampled_from([False] * 9 + [True])),
        min_size=1,
        max_size=130,
    ),
)
@LAW
def test_snapshot_and_deltas_are_the_state(
    seed: int, thing: Instrument, walk: list[tuple[int, int, bool]]
) -> None:
    """After every update of any walk, lost deltas too, a strict reader holds exactly the book."""
    book, reader, until_snapshot = Walk(seed, thing), Reader(), 0
    for move, spread, is_lost in walk:
        if is_lost:
            book.book.forget()
            until_snapshot = 0
        type_, data = book.step(move, spread)
        assert (type_ == "snapshot") == (until_snapshot == 0)
        until_snapshot = (until_snapshot or SNAPSHOT_EVERY) - 1
        reader.take(data, type_)
        state = book.book.state()
        assert reader.state() == state
        best = Decimal(state["bids"][0][0]), Decimal(state["asks"][0][0])
        assert best == (Decimal(thing.price(book.bid)), Decimal(thing.price(book.bid + spread)))
        assert len(state["bids"]) == len(state["asks"]) == LEVELS
        assert all(Decimal(size) > 0 for side in state.values() for _, size in side)


@given(seed=SEEDS, joins_after=st.integers(0, 120))
@LAW
def test_a_late_reader_needs_the_last_snapshot_only(seed: int, joins_after: int) -> None:
    """Whoever joins has the book within SNAPSHOT_EVERY updates, without what was before."""
    walk = Walk(seed)
    for _ in range(joins_after):
        walk.step()
    reader, waited = Reader(), 0
    while (update := walk.step())[0] is None:
        waited += 1
    assert waited < SNAPSHOT_EVERY
    reader.take(update[1], update[0])
    for _ in range(SNAPSHOT_EVERY - 1):
        type_, data = walk.step()
        reader.take(data, type_)
    assert reader.state() == walk.book.state()


def test_a_snapshot_is_not_touched_by_what_follows() -> None:
    """What was given away stays as it was: it may still have to be encoded."""
    walk = Walk(1)
    _, first = walk.step()
    before = {side: [list(level) for level in levels] for side, levels in first.items()}
    for _ in range(5):
        walk.step(7)
    assert first == before


@pytest.mark.parametrize("move", [LEVELS, -LEVELS, 1000])
def test_a_jump_past_all_levels_replaces_all(move: int) -> None:
    """No level of the old place is left behind."""
    walk = Walk(2)
    walk.step()
    old = {side: {price for price, _ in levels} for side, levels in walk.book.state().items()}
    _, data = walk.step(move)
    removed = {(side, price) for side, price, size in data["changes"] if size == "0"}
    assert removed == {(side[:-1], price) for side, prices in old.items() for price in prices}
