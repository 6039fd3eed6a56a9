"""History against a plain list, and its memory against its bound."""

from __future__ import annotations

import gc
import sys
import weakref

from hypothesis import given
from hypothesis import strategies as st

from tests.support.memory import held
from tests.support.updates import LAW, lossless_feed, update
from tickfan.core.cursor import Place, parse
from tickfan.core.history import OVERHEAD_BYTES, History
from tickfan.core.update import Update

STEPS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 400)), max_size=40)


def place_of(item: Update) -> Place:
    """The place of an update, as a client gives it back."""
    assert item.place is not None
    return parse(f"1~{item.place}")[item.channel.feed.name]


def weight(items: list[Update]) -> int:
    """What a history counts for these."""
    return sum(item.held + OVERHEAD_BYTES for item in items)


@LAW
@given(size_max=st.integers(0, 3000), steps=STEPS)
def test_it_is_a_list_that_forgets_its_head(size_max: int, steps: list[tuple[int, int]]) -> None:
    """Bounded by bytes but for the newest; all lookups agree with a list."""
    feed, history = lossless_feed(), History[Update](size_max)
    model: list[Update] = []
    gone: list[Update] = []
    seq = 0
    for hole, size in steps:
        seq += hole
        item = update(feed, data=seq, seq=seq, size=size)
        history.append(item)
        model.append(item)
        while len(model) > 1 and weight(model) > size_max:
            gone.append(model.pop(0))
        assert history.size == weight(model)
        assert history.size <= size_max or len(history) == 1
        assert history.evicted == (gone[-1].seq if gone else None)
        assert history.oldest is model[0]
        assert history.newest is model[-1]
    assert len(history) == len(model)
    assert list(history.before()) == model[::-1]
    for each in model:
        below = [other for other in model[::-1] if other.seq < each.seq]
        assert list(history.before(each.seq)) == below
    for probe in range(-1, seq + 2):
        assert list(history.after(probe)) == [item for item in model if item.seq > probe]
        assert history.at(probe) is next((item for item in model if item.seq == probe), None)
        assert history.is_unbroken_after(probe) is all(item.seq <= probe for item in gone)
    for item in model:
        at = place_of(item)
        assert history.holds(at)
        assert not history.holds(Place(at.seq, "AAAAAAAAAAA"))
        assert not history.holds(Place(at.seq, at.fingerprint[1:]))
        assert not history.holds(Place(at.seq + 10**6, at.fingerprint))
    for item in gone:
        assert not history.holds(place_of(item))


def test_an_empty_history_holds_nothing() -> None:
    """Before the first update every lookup says so."""
    history = History[Update](1000)
    assert (len(history), history.oldest, history.newest, history.evicted) == (0, None, None, None)
    assert list(history.after(-1)) == []
    assert list(history.before()) == list(history.before(7)) == []
    assert history.at(0) is None
    assert not history.holds(Place(0, "A" * 11))
    assert history.is_unbroken_after(-1)


def test_the_head_of_the_list_is_given_back() -> None:
    """The list itself stays near what is held, however much has passed through."""
    feed, history = lossless_feed(), History[Update](100 * OVERHEAD_BYTES)
    largest = 0
    for seq in range(20_000):
        history.append(update(feed, seq=seq))
        if seq % 50 == 0:
            lists = [each for each in held(history) if isinstance(each, list)]
            largest = max(largest, sum(map(sys.getsizeof, lists)))
    assert len(history) == 100
    slots = sys.getsizeof([None] * 1200)
    assert slots / 2 < largest < slots * 1.2, "a list that grows has some slots to spare"
    assert [item.seq for item in history.after(19_997)] == [19_998, 19_999]


class Large:
    """Data that can be watched dying."""


def test_what_gave_way_is_freed_at_once() -> None:
    """The bound is one of memory: no large update waits in a dead head to be freed."""
    feed, history = lossless_feed(), History[Update](10_000)
    watched = []
    for seq in range(50):
        data = Large()
        watched.append(weakref.ref(data))
        history.append(update(feed, data=data, seq=seq, size=4_000))
        del data
    gc.collect()
    assert len(history) == 2
    assert sum(ref() is not None for ref in watched) == 2


def test_clear_starts_afresh() -> None:
    """After another stream took over, low seqs are welcome and nothing is known as lost."""
    feed, history = lossless_feed(), History[Update](2 * OVERHEAD_BYTES)
    for seq in range(1000, 1010):
        history.append(update(feed, seq=seq))
    history.clear()
    assert (len(history), history.size, history.evicted) == (0, 0, None)
    item = update(feed, seq=3)
    history.append(item)
    assert history.at(3) is item
    assert list(history.after(-1)) == [item]
