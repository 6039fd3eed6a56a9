"""Which channels a reader is owed, when only the newest value counts.

Must not hold values: a value is looked up when it is taken, so it is the
newest by construction, however long the mark has waited.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

K = TypeVar("K")


class ConflatingQueue(Generic[K]):
    """Marks, each key at most once, in the order of first change.

    It is bounded by the number of different keys. ``folded`` counts the
    marks that fell on a key that was waiting already: the updates that this
    reader will never see one by one.
    """

    __slots__ = ("_marks", "folded")

    def __init__(self) -> None:
        # A dict keeps a key's first place when the key is written again.
        self._marks: dict[K, None] = {}
        self.folded = 0

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
        self.folded += offered - (len(marks) - before)

    def take(self, most: int) -> list[K]:
        """Remove and return up to ``most`` keys, first changed first."""
        taken = list(islice(self._marks, most))
        for key in taken:
            del self._marks[key]
        return taken

    def retain(self, keys: Iterable[K]) -> None:
        """Forget the marks of all but ``keys`` (a reader unsubscribed)."""
        keep = set(keys)
        self._marks = {key: None for key in self._marks if key in keep}

    def clear(self) -> None:
        """Forget every mark."""
        self._marks.clear()
