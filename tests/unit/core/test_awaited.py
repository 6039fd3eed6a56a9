"""tickfan.core.awaited: who waits for a number is called once, and by nobody before."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.core.awaited import Awaited


@LAW
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 20)),
            st.tuples(st.just("remove"), st.integers(0, 30)),
            st.tuples(st.just("reach"), st.integers(0, 20)),
            st.tuples(st.just("reach all"), st.just(0)),
        )
    )
)
def test_those_who_wait_are_called_once_when_it_is_reached(script: list[tuple[str, int]]) -> None:
    """In whatever order they come, go, and are called; ``lowest`` is right at any time."""
    awaited = Awaited()
    called: list[int] = []
    every: list[Any] = []
    waiting: dict[int, int] = {}
    for action, number in script:
        if action == "add":
            waiting[len(every)] = number
            every.append(awaited.add(number, partial(called.append, len(every))))
        elif action == "remove" and every:
            awaited.remove(every[number % len(every)])
            waiting.pop(number % len(every), None)
        elif action.startswith("reach"):
            seq = inf if action == "reach all" else number
            due = sorted([(at, who) for who, at in waiting.items() if at <= seq])
            called.clear()
            awaited.reach(seq)
            assert called == [who for _, who in due]
            for who in called:
                del waiting[who]
        assert awaited.lowest == min(waiting.values(), default=inf)
        assert len(awaited) == len(waiting)


def test_who_is_called_may_wait_again() -> None:
    """For more, or for the same: it is not called twice by one call."""
    awaited = Awaited()
    called = []

    def again() -> None:
        called.append(awaited.lowest)
        awaited.add(5, again)

    awaited.add(5, again)
    awaited.reach(7)
    assert (called, awaited.lowest) == ([inf], 5)
