"""What ``/metrics`` says of clients that use more than they may.

Must not know who scrapes, nor how they are slowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily

from tickfan.transports.budget import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from tickfan.core.tally import Tally


def of_throttled(tally: Tally) -> Iterator[Metric]:
    """The families of one scrape."""
    labels = ("reason",)
    times = CounterMetricFamily(
        "tickfan_throttled",
        "Commands that had to wait, and requests that were refused",
        None,
        labels,
    )
    seconds = CounterMetricFamily(
        "tickfan_throttled_seconds", "How long commands had to wait", None, labels
    )
    for reason in REASONS:
        times.add_metric((reason,), tally.throttled[reason])
        seconds.add_metric((reason,), tally.throttled_s[reason])
    yield from (times, seconds)
