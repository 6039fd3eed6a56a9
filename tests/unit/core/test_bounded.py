"""A bounded queue against a plain list."""

from __future__ import annotations

import sys
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.memory import held_bytes
from tests.support.updates import LAW
from tickfan.core.bounded import BoundedQueue
from tickfan.core.errors import QueueFull

OPERATIONS = st.lists(
    st.tuples(st.just("put"), st.integers(0, 12))
    | st.tuples(st.just("take"), st.integers(0, 30))
    | st.tuples(st.just("clear"), st.just(0)),
    max_size=60,
)


@LAW
@given(items_max=st.integers(0, 6), size_max=st.integers(0, 30), operations=OPERATIONS)
def test_it_is_a_list_that_says_no(
    items_max: int, size_max: int, operations: list[tuple[str, int]]
) -> None:
    """It never reorders, never exceeds a bound, and refuses whole or takes."""
    queue: BoundedQueue[int] = BoundedQueue(items_max, size_max)
    model: list[tuple[int, int]] = []
    for number, (operation, amount) in enumerate(operations):
        held = sum(size for _, size in model)
        if operation == "put":
            if len(model) + 1 <= items_max and held + amount <= size_max:
                queue.put(number, amount)
                model.append((number, amount))
            else:
                with pytest.raises(QueueFull) as refusal:
                    queue.put(number, amount)
                name = "queue_updates_max" if len(model) >= items_max else "queue_bytes_max"
                assert refusal.value.bound == (name, len(model), held)
        elif operation == "take":
            taken = queue.pop(amount)
            assert taken == [item for item, _ in model[: len(taken)]]
            sizes = [size for _, size in model[: len(taken)]]
            assert len(taken) <= 1 or sum(sizes) <= amount
            del model[: len(taken)]
            if model:
                assert taken
                assert sum(sizes) + model[0][1] > amount, "more would have gone"
        else:
            queue.clear()
            model.clear()
        assert list(queue) == [item for item, _ in model]
        assert len(queue) == len(model) <= items_max
        assert queue.size == sum(size for _, size in model) <= size_max


def test_a_large_item_does_not_block() -> None:
    """An item larger than a slice still comes, alone."""
    queue: BoundedQueue[str] = BoundedQueue(10, 100)
    queue.put("large", 90)
    queue.put("small", 1)
    assert queue.pop(10) == ["large"]
    assert queue.pop(10) == ["small"]
    assert queue.pop(10) == []


def test_a_slice_is_filled_to_its_last_byte() -> None:
    """What fits exactly comes along, and so does what weighs nothing."""
    queue: BoundedQueue[int] = BoundedQueue(10, 100)
    for number, size in enumerate((5, 5, 0, 1)):
        queue.put(number, size)
    assert queue.pop(10) == [0, 1, 2]
    assert queue.size == 1


def test_bounds_are_reached_exactly() -> None:
    """The bounds themselves are allowed; one more is not."""
    queue: BoundedQueue[int] = BoundedQueue(2, 10)
    queue.put(1, 4)
    queue.put(2, 6)
    with pytest.raises(QueueFull, match="2 updates, 10 bytes wait"):
        queue.put(3, 0)
    assert list(queue) == [1, 2]


def test_an_empty_queue_holds_no_memory() -> None:
    """Every lossless reader has one, and nearly all are empty."""
    queue: BoundedQueue[int] = BoundedQueue(2, 2)
    new = held_bytes(queue)
    assert new < sys.getsizeof(deque())
    for end in (queue.clear, lambda: queue.pop(9)):
        queue.put(1, 1)
        end()
        assert held_bytes(queue) == new
        assert list(queue) == []
