"""What an operator says of a feed.

Must not know what has come of it, nor the settings that only a broker reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tickfan.core.errors import TickfanError
from tickfan.core.pattern import Pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Delivery(StrEnum):
    """The two policies; they share no code on purpose."""

    CONFLATED = "conflated"
    LOSSLESS = "lossless"


class FeedOverlap(TickfanError):
    """Two feeds would both cover some channel."""

    def __init__(self, left: str, pattern: str, right: str, other: str) -> None:
        super().__init__(
            f"feed {right!r} binds {other!r}, which overlaps {pattern!r} of feed {left!r}: "
            "a channel belongs to one feed"
        )


@dataclass(frozen=True, slots=True)
class FeedSpec:
    """One feed as configured. Names end with their unit.

    ``is_warm``: what a conflated feed missed in an outage is read back after it.
    ``interval_ms`` holds for conflated feeds; ``flush_ms``, ``queue_*``,
    ``history_*`` and ``state_*`` for lossless ones; the rest for both. The settings that only
    a broker reads (queue names, retention) are its own, in ``broker.base``.
    """

    name: str
    bind: tuple[str, ...]
    delivery: Delivery
    interval_ms: int = 100
    flush_ms: int = 10
    queue_updates_max: int = 10_000
    queue_bytes_max: int = 4 * 2**20
    history_bytes_max: int = 64 * 2**20
    state_bytes_max: int = 64 * 2**20
    channels_max: int = 100_000
    is_warm: bool = False

    @property
    def is_lossless(self) -> bool:
        """Whether every update is delivered."""
        return self.delivery is Delivery.LOSSLESS


def check_overlaps(feeds: Sequence[FeedSpec]) -> None:
    """Raise :class:`FeedOverlap` if two feeds would both cover some channel."""
    for index, left in enumerate(feeds):
        for right in feeds[index + 1 :]:
            for a in _patterns(left):
                for b in _patterns(right):
                    if a.overlaps(b):
                        raise FeedOverlap(left.name, a.text, right.name, b.text)


def _patterns(spec: FeedSpec) -> Iterable[Pattern]:
    return (Pattern(text) for text in spec.bind)
