"""What a reader has received in all, as one sentence for its end.

Must not know where items come from, nor how one of them is shown.
"""

from __future__ import annotations

from collections import Counter

from tickfan.commands.printing import clock
from tickfan_client import Event, Update

CHANNELS_COUNTED_MAX = 100_000
"""Channels that are told from each other; of more it is only said that there are more."""

_COUNTED = {"gap": "gap", "reset": "reset"}
"""The events that a lossless reader should hear of, and the word for one."""


class Summary:
    """Counts updates and channels, gaps and resets, and keeps the first and last time."""

    def __init__(self) -> None:
        self.updates = 0
        self._first = self._last = 0
        self._seqs: dict[str, int | None] = {}
        self._has_more = False
        self._conflated = 0
        self._events: Counter[str] = Counter()

    def note(self, item: Update | Event) -> None:
        """Count one item."""
        if isinstance(item, Event):
            self._events[item.name] += item.name in _COUNTED
            if item.name in ("subscribed", "reset"):
                # What follows has numbers of its own: from another replica, or another stream.
                self._seqs = dict.fromkeys(self._seqs)
            return
        self._first = min(self._first, item.ts) if self.updates else item.ts
        self._last = max(self._last, item.ts)
        self.updates += 1
        if item.channel not in self._seqs and len(self._seqs) == CHANNELS_COUNTED_MAX:
            self._has_more = True
            return
        before = self._seqs.get(item.channel)
        # Only a conflated channel has no prev a second time, and its seq counts by one.
        if item.prev is None and before is not None:
            self._conflated += max(0, item.seq - before - 1)
        self._seqs[item.channel] = item.seq

    def sentence(self, now_s: float | None = None) -> str:
        """All of it. ``now_s`` is the present, in seconds since 1970."""
        parts = [self._of_updates(now_s)]
        parts += [_count(self._events[name], word) for name, word in _COUNTED.items()
                  if self._events[name]]  # fmt: skip
        if self._conflated:
            parts.append(f"{_count(self._conflated, 'older value')} conflated")
        return "; ".join(parts)

    def _of_updates(self, now_s: float | None) -> str:
        if not self.updates:
            return "no updates"
        first, last = clock(self._first, now_s), clock(self._last, now_s)
        day = first.rpartition(" ")[0]
        when = first if first == last else f"{first} to {last.removeprefix(f'{day} ')}"
        more = "more than " * self._has_more
        channels = _count(len(self._seqs), "channel")
        return f"{_count(self.updates, 'update')} of {more}{channels}, {when}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"
