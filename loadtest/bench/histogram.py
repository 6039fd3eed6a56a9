"""Ages counted in buckets: bounded memory, and histograms of processes add up.

Pure. Must not know what was measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BUCKET_US = 100
"""The resolution: a tenth of a millisecond."""


class Histogram:
    """Counts of durations in microseconds. Negative ones count as zero."""

    __slots__ = ("buckets",)

    def __init__(self, buckets: Mapping[int, int] | None = None) -> None:
        self.buckets: dict[int, int] = dict(buckets or {})

    def add(self, age_us: int, count: int = 1) -> None:
        """Count ``count`` durations of ``age_us``."""
        bucket = age_us // BUCKET_US if age_us > 0 else 0
        self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def merge(self, other: Histogram) -> None:
        """Add the counts of ``other``."""
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    @property
    def total(self) -> int:
        """How many were counted."""
        return sum(self.buckets.values())

    def percentile_ms(self, share: float) -> float | None:
        """The least upper bound, in ms, that ``share`` (0 to 1) of all stay below."""
        total = self.total
        if not total:
            return None
        wanted = share * total
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return (bucket + 1) * BUCKET_US / 1000
        raise AssertionError("the shares add up to one")

    def as_pairs(self) -> list[tuple[int, int]]:
        """Buckets and counts, to send as JSON."""
        return sorted(self.buckets.items())

    @classmethod
    def from_pairs(cls, pairs: list[tuple[int, int]]) -> Histogram:
        """The inverse of :meth:`as_pairs`."""
        return cls(dict(pairs))


def median(values: list[float]) -> float:
    """The middle value; the mean of the two middle ones of an even count."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
