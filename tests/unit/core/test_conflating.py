"""A conflating queue: the newest value of each channel once, first changed first."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.updates import LAW, conflated_feed, update
from tickfan.core.conflating import ConflatingQueue

if TYPE_CHECKING:
    from tickfan.core.feed import Channel

K = TypeVar("K")
NAMES = "abcde"
OPERATIONS = st.lists(
    st.tuples(st.just("publish"), st.sampled_from(NAMES))
    | st.tuples(st.just("take"), st.integers(0, 4)),
    max_size=80,
)


def taken(queue: ConflatingQueue[K]) -> list[K]:
    return [queue.pop() for _ in range(len(queue))]


@settings(LAW, max_examples=300)
@given(operations=OPERATIONS)
def test_newest_once_in_order_of_first_change(operations: list[tuple[str, str | int]]) -> None:
    """What is taken is the newest value at that moment, once a mark, first changed first."""
    feed = conflated_feed()
    queue: ConflatingQueue[Channel] = ConflatingQueue()
    waiting: list[str] = []
    newest: dict[str, int] = {}
    conflated = 0
    for number, (operation, argument) in enumerate(operations):
        if operation == "publish":
            name = str(argument)
            queue.mark(update(feed, name, number).channel)
            newest[name] = number
            if name in waiting:
                conflated += 1
            else:
                waiting.append(name)
        else:
            most = int(argument)
            some = [queue.pop() for _ in range(min(most, len(queue)))]
            values = [(one.name, one.latest and one.latest.data) for one in some]
            assert values == [(name, newest[name]) for name in waiting[:most]]
            del waiting[:most]
        assert len(queue) == len(waiting)
        assert queue.conflated == conflated
    assert [channel.name for channel in taken(queue)] == waiting
    assert not queue


@LAW
@given(groups=st.lists(st.lists(st.sampled_from(NAMES), max_size=8), max_size=10))
def test_marking_many_is_marking_each(groups: list[list[str]]) -> None:
    """mark_all says the same as mark for each, also for keys that come twice."""
    together: ConflatingQueue[str] = ConflatingQueue()
    singly: ConflatingQueue[str] = ConflatingQueue()
    for group in groups:
        together.mark_all(iter(group))
        for name in group:
            singly.mark(name)
        assert together.conflated == singly.conflated
    assert taken(together) == taken(singly)


def test_retain_keeps_the_order() -> None:
    """An unsubscription forgets marks and moves no other."""
    queue: ConflatingQueue[str] = ConflatingQueue()
    queue.mark_all("edcba")
    queue.retain(lambda key: key in "abdz")
    assert taken(queue) == ["d", "b", "a"]


def test_forget_moves_no_other() -> None:
    """What was taken elsewhere is not owed any more; what was not owed is no error."""
    queue: ConflatingQueue[str] = ConflatingQueue()
    queue.mark_all("edcba")
    queue.forget(iter("dzb"))
    assert taken(queue) == ["e", "c", "a"]


def test_clear_forgets_marks_alone() -> None:
    """What was conflated stays counted."""
    queue: ConflatingQueue[str] = ConflatingQueue()
    queue.mark_all("aab")
    queue.clear()
    assert (len(queue), queue.conflated) == (0, 1)
    with pytest.raises(KeyError):
        queue.pop()
