"""A queue that loses nothing: it takes an item or says that it cannot.

Must not know what an item is, nor what its owner does when it is full.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from tickfan.core.errors import Bound, QueueFull

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class BoundedQueue(Generic[T]):
    """First in, first out, bounded by a count and by bytes.

    An offer over either bound raises :class:`QueueFull` and leaves the queue
    as it was; nothing is ever reordered or dropped. The bounds have the names of the
    settings that give them.
    """

    __slots__ = ("_items", "items_max", "size", "size_max")

    def __init__(self, items_max: int, size_max: int) -> None:
        """``items_max`` in items, ``size_max`` in bytes."""
        self.items_max = items_max
        self.size_max = size_max
        self.size = 0
        # None while empty, as nearly always: an empty deque holds 0.7 KB.
        self._items: deque[tuple[T, int]] | None = None

    def __len__(self) -> int:
        return len(self._items or ())

    def __iter__(self) -> Iterator[T]:
        return (item for item, _ in self._items or ())

    def put(self, item: T, size: int) -> None:
        """Append one item of ``size`` bytes, or raise :class:`QueueFull`."""
        if len(self) >= self.items_max or self.size + size > self.size_max:
            is_count = len(self) >= self.items_max
            name = "queue_updates_max" if is_count else "queue_bytes_max"
            raise QueueFull(Bound(name, len(self), self.size))
        if self._items is None:
            self._items = deque()
        self._items.append((item, size))
        self.size += size

    def pop(self, size_most: int) -> list[T]:
        """Remove and return items from the front, up to ``size_most`` bytes.

        At least one item comes if there is one, whatever its size, so that a
        large item cannot block the queue.
        """
        taken: list[T] = []
        budget = size_most
        items = self._items
        while items and (not taken or items[0][1] <= budget):
            item, size = items.popleft()
            taken.append(item)
            self.size -= size
            budget -= size
        if not items:
            self._items = None
        return taken

    def clear(self) -> None:
        """Empty the queue: for an owner that has just said what is lost."""
        self._items = None
        self.size = 0
