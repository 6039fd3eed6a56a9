"""What Prometheus is told of the listeners: answers that wait to be read, and TLS.

Must not know who scrapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from tickfan.api.families import by_one
from tickfan.transports.tlsline import HANDSHAKES

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Mapping

    from prometheus_client import Metric

    from tickfan.transports.answers import Answers
    from tickfan.transports.certificate import Certificate


def of_answers(all_answers: Mapping[str, Answers]) -> Iterator[Metric]:
    """Answers of REST, by the listener that they are for."""
    writing = GaugeMetricFamily(
        "tickfan_answers", "Answers of REST that are being written", labels=("listener",)
    )
    held = GaugeMetricFamily(
        "tickfan_answers_bytes",
        "Bytes of large answers that are made and that clients have not read",
        labels=("listener",),
    )
    refused = CounterMetricFamily(
        "tickfan_answers_refused",
        "Answers that were refused because others wait to be read",
        labels=("listener",),
    )
    cut = CounterMetricFamily(
        "tickfan_answers_cut",
        "Answers whose client read too slowly",
        labels=("listener", "reason"),
    )
    for listener, answers in all_answers.items():
        writing.add_metric((listener,), len(answers))
        held.add_metric((listener,), answers.held)
        refused.add_metric((listener,), answers.refused)
        for reason, count in answers.cut.items():
            cut.add_metric((listener, reason), count)
    yield from (writing, held, refused, cut)


def of_tls(certificate: Certificate | None, counts: Counter[str]) -> Iterator[Metric]:
    """TLS of the public listener; ``counts`` are handshakes, by how they ended."""
    yield by_one("tickfan_tls_handshakes", "TLS handshakes", "result", counts, HANDSHAKES)
    ends = GaugeMetricFamily(
        "tickfan_tls_certificate_expiry_timestamp_seconds",
        "When the public listener's certificate ends, in seconds since 1970",
    )
    refused = GaugeMetricFamily(
        "tickfan_tls_certificate_refused", "1 if its files have changed to what is of no use"
    )
    if certificate is not None:
        ends.add_metric((), certificate.expires_at)
        refused.add_metric((), certificate.is_refused)
    yield from (ends, refused)
