"""What Prometheus is told of access: the keys of issuers.

Must not know who scrapes, nor how a token is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from tickfan.access.gate import Gate


def of_access(gate: Gate) -> Iterator[Metric]:
    """The families of one scrape. The issuers are those of the settings: a closed set."""
    labels = ("issuer",)
    keys = GaugeMetricFamily("tickfan_jwks_keys", "Keys that an issuer publishes", None, labels)
    age = GaugeMetricFamily(
        "tickfan_jwks_age_seconds", "Since the keys of an issuer were fetched", None, labels
    )
    failures = CounterMetricFamily(
        "tickfan_jwks_failures", "Fetches of keys that failed", None, labels
    )
    if gate.key_sets is not None:
        for each in gate.key_sets.sets:
            for issuer in each.issuers:
                keys.add_metric((issuer,), len(each.keys))
                failures.add_metric((issuer,), each.failures)
                age.add_metric((issuer,), gate.key_sets.age_s(each))
    yield from (keys, age, failures)
