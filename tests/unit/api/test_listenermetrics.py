"""What a scrape says of answers and of TLS."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

from tickfan.api.listenermetrics import of_answers, of_tls


def values(families: Any) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_answers_are_told_by_listener() -> None:
    """Those that are written, what they hold, what was refused and cut."""

    class Some(list[int]):
        held, refused, cut = 77, 3, Counter(stalled=2)

    assert values(of_answers({"public": cast("Any", Some([1, 2]))})) == {
        ("tickfan_answers", "public"): 2,
        ("tickfan_answers_bytes", "public"): 77,
        ("tickfan_answers_refused_total", "public"): 3,
        ("tickfan_answers_cut_total", "public", "stalled"): 2,
    }


def test_tls_is_told_where_there_is_a_certificate() -> None:
    """Handshakes begin at 0; without TLS there is no date."""
    without = values(of_tls(None, Counter()))
    assert ("tickfan_tls_certificate_expiry_timestamp_seconds",) not in without
    assert without["tickfan_tls_handshakes_total", "done"] == 0
    certificate = cast("Any", SimpleNamespace(expires_at=1.5e9, is_refused=True))
    found = values(of_tls(certificate, Counter(done=4)))
    assert found["tickfan_tls_certificate_expiry_timestamp_seconds",] == 1.5e9
    assert found["tickfan_tls_certificate_refused",] == 1
    assert found["tickfan_tls_handshakes_total", "done"] == 4
