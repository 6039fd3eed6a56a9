"""The recent updates of a lossless feed, in the order of the stream.

Must not know why it is read (a resume, a REST call) nor who is waiting.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tickfan.core.cursor import Place

_SEQ = attrgetter("seq")
# What an update costs in memory beside its data: the object and its numbers, the text
# of its place, the list's slot, and what its encodings have around the data. It is
# counted, so that a bound in bytes bounds memory.
OVERHEAD_BYTES = 550
_GONE: Any = None


class Kept(Protocol):
    """What a history needs to know of an update."""

    @property
    def seq(self) -> int:
        """Its place in the stream."""

    @property
    def held(self) -> int:
        """What its data takes in memory, in bytes."""

    @property
    def fingerprint(self) -> str | None:
        """That of its message."""


U = TypeVar("U", bound=Kept)


class History(Generic[U]):
    """Updates by rising ``seq``, bounded by bytes; the oldest give way."""

    __slots__ = ("_items", "_start", "evicted", "size", "size_max")

    def __init__(self, size_max: int) -> None:
        """``size_max`` in bytes, each update counted with its overhead."""
        self.size_max = size_max
        self.size = 0
        self.evicted: int | None = None  # the seq of the newest update that gave way
        # A list with a moving start, and no deque: updates in the middle are found by
        # bisection, for which a deque needs linear time.
        self._items: list[U] = []
        self._start = 0

    def __len__(self) -> int:
        return len(self._items) - self._start

    def append(self, update: U) -> None:
        """Add the newest update; its ``seq`` must be above all others."""
        items = self._items
        items.append(update)
        self.size += update.held + OVERHEAD_BYTES
        while self.size > self.size_max and self._start < len(items) - 1:
            oldest = items[self._start]
            self.size -= oldest.held + OVERHEAD_BYTES
            self.evicted = oldest.seq
            # Let go of the update now: a thousand large ones would be more than the
            # bound. Nobody looks at slots before the start.
            items[self._start] = _GONE
            self._start += 1
        # Give the head's slots back when they are half of the list: one copy
        # for each doubling, so appending stays constant on average.
        if self._start > 1024 and self._start * 2 > len(items):
            del items[: self._start]
            self._start = 0

    @property
    def oldest(self) -> U | None:
        """The oldest update still held."""
        return self._items[self._start] if len(self) else None

    @property
    def newest(self) -> U | None:
        """The newest update."""
        return self._items[-1] if len(self) else None

    def holds(self, place: Place) -> bool:
        """Whether the update with this seq and this fingerprint is held."""
        update = self.at(place.seq)
        return update is not None and update.fingerprint == place.fingerprint

    def at(self, seq: int) -> U | None:
        """The update with this seq, if it is held."""
        index = self._after(seq) - 1
        if index < self._start or self._items[index].seq != seq:
            return None
        return self._items[index]

    def is_unbroken_after(self, seq: int) -> bool:
        """Whether every update above ``seq`` that was ever appended is held."""
        return self.evicted is None or self.evicted <= seq

    def after(self, seq: int) -> Iterator[U]:
        """The held updates above ``seq``, oldest first, lazily.

        Read it without letting the history change in between; a reader that
        pauses starts again from the last ``seq`` it has seen.
        """
        for index in range(self._after(seq), len(self._items)):
            yield self._items[index]

    def before(self, seq: int | None = None) -> Iterator[U]:
        """The held updates below ``seq`` (None: all), newest first, as :meth:`after`."""
        end = len(self._items) if seq is None else self._after(seq - 1)
        for index in range(end - 1, self._start - 1, -1):
            yield self._items[index]

    def clear(self) -> None:
        """Forget everything (the stream is another one)."""
        self._items.clear()
        self._start = 0
        self.size = 0
        self.evicted = None

    def _after(self, seq: int) -> int:
        return bisect_right(self._items, seq, lo=self._start, key=_SEQ)
