"""Which channels have changed since a moment, at a constant cost an update.

An update marks its channel once, however many readers there are. A reader that comes
by later walks back over the marks, to the moment of its last visit. Must not know who
the readers are.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar


class Versioned(Protocol):
    """What can change: a channel."""

    version: int
    """The log's counter at the last change."""


V = TypeVar("V", bound=Versioned)


class ChangeLog(Generic[V]):
    """Channels in the order of their changes, in runs between seals.

    A run is what changed between two visits of any readers. Within a run a channel
    keeps its first place. So an update of a channel that has already changed in this
    run costs one comparison.
    """

    __slots__ = ("_order", "_sealed", "version")

    def __init__(self) -> None:
        self.version = 0
        self._sealed = 0
        self._order: OrderedDict[V, None] = OrderedDict()

    def __len__(self) -> int:
        """How many channels it holds: each that ever changed, once."""
        return len(self._order)

    def mark(self, channel: V) -> bool:
        """Note a change; returns whether it replaced one of this run."""
        self.version = version = self.version + 1
        is_replaced = channel.version > self._sealed
        channel.version = version
        if not is_replaced:
            self._order[channel] = None
            self._order.move_to_end(channel)
        return is_replaced

    def seal(self) -> int:
        """End the run: the moment to ask :meth:`since` for at the next visit."""
        self._sealed = self.version
        return self.version

    def since(self, moment: int) -> list[V]:
        """The channels changed after ``moment`` (a seal), oldest run first.

        Costs what it returns.
        """
        changed: list[V] = []
        for channel in reversed(self._order):
            if channel.version <= moment:
                break
            changed.append(channel)
        changed.reverse()
        return changed
