"""What one granted subscription is owed before anything live.

Must not know who reads it, nor how it is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tickfan.core.conflating import ConflatingQueue
    from tickfan.core.feed import Channel
    from tickfan.core.update import Update


class Opening(NamedTuple):
    """``head`` first, then the snapshots, then the bytes that ``end`` makes of the cursor.

    What must follow the head and not the snapshots is appended to it while it waits.

    ``snapshot`` are conflated channels, whose newest value is sent; ``state``
    are the last full states of lossless channels, each with every update since.
    """

    head: list[bytes]
    snapshot: ConflatingQueue[Channel]
    state: Iterator[Update]
    end: Callable[[str | None], bytes]

    def take(self, size_most: int) -> list[Update]:
        """The next updates of the snapshots, up to about ``size_most`` bytes; none: all sent."""
        return newest(self.snapshot, size_most) or _next(self.state, size_most)

    def only(self, keep: Callable[[Update], bool]) -> Opening:
        """Without the states' updates that are not wanted any more."""
        return self._replace(state=filter(keep, self.state))


def newest(marks: ConflatingQueue[Channel], size_most: int) -> list[Update]:
    """Take the newest value of marked channels, up to about ``size_most`` bytes."""
    updates: list[Update] = []
    budget = size_most
    while budget > 0 and marks:
        latest = marks.pop().latest
        if latest is not None:
            updates.append(latest)
            budget -= latest.size
    return updates


def _next(state: Iterator[Update], size_most: int) -> list[Update]:
    updates: list[Update] = []
    budget = size_most
    while budget > 0 and (update := next(state, None)) is not None:
        updates.append(update)
        budget -= update.size
    return updates
