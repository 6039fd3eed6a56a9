"""What a scrape says of access."""

from __future__ import annotations

from tests.support.access import ANYBODY
from tickfan.access.gate import Gate
from tickfan.access.jwks import Issued, KeySet, KeySets
from tickfan.api.accessmetrics import of_access

LOST = ("tickfan_audit_lost_total",)


def values(gate: Gate) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in of_access(gate)
        for sample in family.samples
    }


def test_each_issuer_of_a_set_is_told() -> None:
    """Before the first fetch the age is that of the process."""
    now = [100.0]
    sets = KeySets(
        [KeySet("https://a.test/", (Issued("me", "RS256"), Issued("you", "ES256")), failures=2)],
        lambda _keys: None, lambda: now[0], refresh_s=300, timeout_s=5,
    )  # fmt: skip
    now[0] = 160.0
    assert values(Gate(ANYBODY, None, "", sets)) == {
        ("tickfan_jwks_keys", "me"): 0, ("tickfan_jwks_keys", "you"): 0,
        ("tickfan_jwks_age_seconds", "me"): 60, ("tickfan_jwks_age_seconds", "you"): 60,
        ("tickfan_jwks_failures_total", "me"): 2, ("tickfan_jwks_failures_total", "you"): 2,
        LOST: 0,
    }  # fmt: skip
    sets.sets[0].fetched_at = 150.0
    assert values(Gate(ANYBODY, None, "", sets))["tickfan_jwks_age_seconds", "me"] == 10


def test_without_an_address_nothing_is_told() -> None:
    """Most services have no keys."""
    assert values(Gate(ANYBODY, None, "")) == {LOST: 0}
