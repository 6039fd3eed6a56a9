"""What Prometheus is told of access: issuers' keys, revocations, lost lines of the audit log.

Must not know who scrapes, nor how a token is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from tickfan.api.families import plain
from tickfan.core.feed import Upstream
from tickfan.logs import audit_lost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from tickfan.access.gate import Gate
    from tickfan.access.revocationlist import RevocationList


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
    yield plain("tickfan_audit_lost", "Lines of the audit log that were not written", audit_lost())


def of_revocations(revocations: RevocationList) -> Iterator[Metric]:
    """What has come by the list that all replicas share, and whether it is read."""
    yield GaugeMetricFamily(
        "tickfan_revocations", "Revocations that hold, as far as known", len(revocations.known)
    )
    yield CounterMetricFamily(
        "tickfan_revocations_received",
        "Revocations read from the list of all replicas, those of the past at the start too",
        value=revocations.received,
    )
    yield CounterMetricFamily(
        "tickfan_revocations_malformed",
        "Messages of that list that revoke nothing, because they are none of ours",
        value=revocations.malformed,
    )
    yield CounterMetricFamily(
        "tickfan_revoked_connections",
        "Connections ended because their token was revoked",
        value=revocations.ended,
    )
    yield GaugeMetricFamily(
        "tickfan_revocations_live",
        "1 if the list of revocations is being read",
        revocations.upstream_state is Upstream.LIVE,
    )
    yield GaugeMetricFamily(
        "tickfan_revocations_unread_seconds",
        "For how long that list has not been read up to date",
        revocations.unread_s,
    )
