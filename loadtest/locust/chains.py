"""The proof that nothing was lost: the last ``seq`` of each channel, and what must follow.

A lossless update names the ``seq`` before it in ``prev``. A conflated one has
no ``prev``; its ``seq`` may jump, or come twice, and never goes back.
Must not know how updates arrive.
"""

from __future__ import annotations

from typing import NamedTuple


class Update(NamedTuple):
    """What of an update the proof and the clock need; ``ts`` in ms since 1970 UTC."""

    channel: str
    seq: int
    ts: int
    prev: int | None = None


class Chains:
    """What one subscriber has seen, over all of its connections."""

    def __init__(self) -> None:
        # The last seq of each channel, and whether the channel is lossless.
        self._last: dict[str, tuple[int, bool]] = {}

    def take(self, update: Update, *, is_snapshot: bool = False) -> str | None:
        """Take the next update; returns what is broken, in one sentence, or None."""
        channel, seq, _, prev = update
        before, was_lossless = self._last.get(channel, (None, False))
        is_lossless = was_lossless or prev is not None
        self._last[channel] = (seq, is_lossless)
        if is_snapshot or before is None:
            return None
        if is_lossless and prev != before:
            return f"{channel}: {seq} follows {prev}, but {before} was the last one here"
        if seq < before:
            return f"{channel}: {seq} came after {before}"
        return None

    def is_lossless(self, channel: str) -> bool:
        """Whether a channel that was taken has shown a chain."""
        return self._last[channel][1]

    def reconnected(self) -> None:
        """Note another connection: lossless channels go on by the cursor, others afresh."""
        self._last = {name: last for name, last in self._last.items() if last[1]}

    def forget(self) -> None:
        """Note a reset: what follows does not follow what came before."""
        self._last.clear()
