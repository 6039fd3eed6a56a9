"""Families of Prometheus's samples, made of plain counts.

Must not know what is counted.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Mapping

    from prometheus_client import Metric

    from tickfan.core.feed import Feed
    from tickfan.core.tally import Histogram


def plain(name: str, text: str, value: int) -> Metric:
    """A counter without labels."""
    return CounterMetricFamily(name, text, value=value)


def by_feed(name: str, text: str, counts: Mapping[str, int], feeds: Iterable[Feed]) -> Metric:
    """A counter by feed; each feed from 0 on."""
    return by_one(name, text, "feed", counts, (feed.name for feed in feeds))


def by_one(
    name: str, text: str, label: str, counts: Mapping[str, int], known: Iterable[str]
) -> Metric:
    """Counts by one label, of which all values are known; each from 0 on."""
    family = CounterMetricFamily(name, text, labels=(label,))
    for value in known:
        family.add_metric((value,), counts.get(value, 0))
    return family


def by_two(
    name: str,
    text: str,
    labels: tuple[str, str],
    counts: Counter[tuple[str, str]],
    known: Iterable[tuple[str, str]],
) -> Metric:
    """Counts by two labels; the known pairs from 0 on.

    A counter that begins with 1 has no increase that a rate could see.
    """
    family = CounterMetricFamily(name, text, labels=labels)
    for pair in dict.fromkeys((*known, *counts)):
        family.add_metric(pair, counts[pair])
    return family


def histogram(name: str, text: str, values: Histogram) -> Metric:
    """One histogram."""
    return HistogramMetricFamily(name, text, buckets=_buckets(values), sum_value=values.total)


def histograms(name: str, text: str, label: str, values: Mapping[str, Histogram]) -> Metric:
    """Histograms by one label."""
    family = HistogramMetricFamily(name, text, labels=(label,))
    for key, histogram in values.items():
        family.add_metric((key,), _buckets(histogram), histogram.total)
    return family


def _buckets(values: Histogram) -> list[tuple[str, float]]:
    """Prometheus's are cumulative: each holds those below it too."""
    bounds = [*map(str, values.bounds), "+Inf"]
    return list(zip(bounds, accumulate(values.counts), strict=True))
