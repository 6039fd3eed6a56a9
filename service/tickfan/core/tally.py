"""What has happened since the process began, as plain integers.

The hot path adds to attributes. The metrics and the statistics read them when they are
asked for. Must not know Prometheus, nor who reads.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

AGES_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds for how old something is when it comes, or how long one waits for it."""

LAGS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Bounds for the event loop's lag. Nothing should hold the loop for more than 20 ms."""

DURATIONS_S = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""Bounds for how long a stream lasts."""


class Histogram:
    """How often a value fell between fixed bounds.

    ``counts`` has one place for each of ``bounds``, whose values do not exceed
    it, and one for all above; ``total`` is the sum of all values.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` rise."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value that came ``times``."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times


class Tally:
    """Counts of one process. Every drop, conflation, gap and close is in one of them."""

    __slots__ = (
        "abandoned",
        "bytes_out",
        "closes",
        "conflated",
        "conflated_age",
        "connects",
        "durations",
        "feed_changes",
        "first_update",
        "from_future",
        "gaps",
        "handshakes",
        "loop_lag",
        "lossless_age",
        "messages_in",
        "parked",
        "poison",
        "published",
        "refusals",
        "resets",
        "resumes",
        "sockets_refused",
        "throttled",
        "throttled_s",
        "unrecovered",
        "updates_in",
        "updates_out",
        "upstream_lag",
        "writes",
    )

    def __init__(self) -> None:
        self.messages_in: Counter[str] = Counter()  # by feed
        self.updates_in: Counter[str] = Counter()  # by feed
        self.conflated: Counter[str] = Counter()  # by feed: replaced before any tick sent it
        # By feed, in seconds from the publisher's ts to the receipt.
        self.upstream_lag: defaultdict[str, Histogram] = defaultdict(partial(Histogram, AGES_S))
        self.from_future: Counter[str] = Counter()  # by feed: updates with a ts ahead of our clock
        self.feed_changes: Counter[tuple[str, str]] = Counter()  # by feed and its new state
        self.poison: Counter[tuple[str, str]] = Counter()  # by feed and reason
        self.gaps: Counter[str] = Counter()  # by feed
        self.resets: Counter[tuple[str, str]] = Counter()  # by feed and reason
        self.published: Counter[str] = Counter()  # over HTTP, by feed, once confirmed
        self.refusals: Counter[str] = Counter()  # of requests and commands, by code
        self.sockets_refused: Counter[str] = Counter()  # by code: before any request was read
        self.handshakes: Counter[str] = Counter()  # of TLS, by how they ended
        self.throttled: Counter[str] = Counter()  # by why: commands and requests that came too soon
        # By why: the seconds that commands had to wait.
        self.throttled_s: defaultdict[str, float] = defaultdict(float)
        self.updates_out = 0
        self.writes = 0
        self.bytes_out = 0
        self.parked = 0  # times a subscriber left the shared path for being slow
        # Seconds from the ts of a write's first update to the write, on the
        # shared path, once for each client that it went to.
        self.conflated_age = Histogram(AGES_S)
        self.lossless_age = Histogram(AGES_S)
        self.loop_lag = Histogram(LAGS_S)  # seconds that a due timer had to wait
        self.first_update = Histogram(AGES_S)  # seconds from the connect, snapshots included
        self.connects: Counter[str] = Counter()  # by format
        self.closes: Counter[tuple[str, str]] = Counter()  # by format and reason
        self.resumes: Counter[bool] = Counter()  # by recovered or not
        self.unrecovered: Counter[tuple[str, str]] = Counter()  # by feed and why
        self.abandoned: Counter[str] = Counter()  # by format: left before the first update
        # By format, in seconds.
        self.durations: defaultdict[str, Histogram] = defaultdict(partial(Histogram, DURATIONS_S))
