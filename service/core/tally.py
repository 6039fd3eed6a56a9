"""What has happened since the process began, as plain integers.

The hot path adds to attributes; whoever shows them (metrics, statistics) reads
them when asked. Must not know Prometheus, nor who reads.
"""

from __future__ import annotations

from collections import Counter


class Tally:
    """Counts of one process. Every drop, fold, gap and close is in one of them."""

    __slots__ = (
        "bytes_out",
        "closes",
        "connects",
        "folded",
        "gaps",
        "messages_in",
        "parked",
        "poison",
        "resets",
        "resumes",
        "updates_in",
        "updates_out",
        "writes",
    )

    def __init__(self) -> None:
        self.messages_in: Counter[str] = Counter()  # by feed
        self.updates_in: Counter[str] = Counter()  # by feed
        self.folded: Counter[str] = Counter()  # by feed: replaced before any tick sent it
        self.poison: Counter[tuple[str, str]] = Counter()  # by feed and reason
        self.gaps: Counter[str] = Counter()  # by feed
        self.resets: Counter[tuple[str, str]] = Counter()  # by feed and reason
        self.updates_out = 0
        self.writes = 0
        self.bytes_out = 0
        self.parked = 0  # times a subscriber left the shared path for being slow
        self.connects: Counter[str] = Counter()  # by format
        self.closes: Counter[tuple[str, str]] = Counter()  # by format and reason
        self.resumes: Counter[bool] = Counter()  # by recovered or not
