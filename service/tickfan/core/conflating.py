"""Which channels a reader is owed, when only the newest value counts.

Must not hold values. A value is looked up when it is taken, so it is always the newest,
however long the mark has waited.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

K = TypeVar("K")


class ConflatingQueue(Generic[K]):
    """Marks, each key at most once, in the order of first change.

    It is bounded by the number of different keys. ``conflated`` counts the
    marks that fell on a key that was waiting already: the updates that this
    reader will never see one by one.
    """

    __slots__ = ("_marks", "conflated")

    def __init__(self) -> None:
        # A key keeps its first place when it is written again. An OrderedDict
        # gives up its first key in constant time; a dict looks for it.
        self._marks: OrderedDict[K, None] = OrderedDict()
        self.conflated = 0

    def __len__(self) -> int:
        return len(self._marks)

    def mark(self, key: K) -> None:
        """Note that ``key`` has changed."""
        self.mark_all((key,))

    def mark_all(self, keys: Iterable[K]) -> None:
        """Note that each of ``keys`` has changed, in their order."""
        marks = self._marks
        before = len(marks)
        offered = 0
        for key in keys:
            marks[key] = None
            offered += 1
        self.conflated += offered - (len(marks) - before)

    def forget(self, keys: Iterable[K]) -> None:
        """Remove the marks of ``keys``: their newest values were taken elsewhere."""
        for key in keys:
            self._marks.pop(key, None)

    def pop(self) -> K:
        """Remove and return the key that changed first. Raises :class:`KeyError` if none waits."""
        return self._marks.popitem(last=False)[0]

    def retain(self, keep: Callable[[K], bool]) -> None:
        """Forget the marks of all keys but those to ``keep`` (a reader unsubscribed)."""
        for key in [key for key in self._marks if not keep(key)]:
            del self._marks[key]

    def clear(self) -> None:
        """Forget every mark."""
        self._marks.clear()
