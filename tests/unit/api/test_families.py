"""tickfan.api.families"""

from __future__ import annotations

from collections import Counter

from tests.support.updates import conflated_feed
from tickfan.api.families import by_feed, by_two, histogram, histograms, plain
from tickfan.core.tally import Histogram


def test_counters_are_there_from_0_on() -> None:
    """A counter that begins with 1 has no increase that a rate could see."""
    [one] = plain("a", "help", 3).samples
    assert (one.name, one.value) == ("a_total", 3)
    found = by_feed("b", "help", {"x": 2}, [conflated_feed("x"), conflated_feed("y")]).samples
    assert [(each.labels, each.value) for each in found] == [({"feed": "x"}, 2), ({"feed": "y"}, 0)]
    counts = Counter({("x", "new"): 4})
    found = by_two("c", "help", ("feed", "why"), counts, [("x", "old")]).samples
    assert [(each.labels["why"], each.value) for each in found] == [("old", 0), ("new", 4)]


def test_the_buckets_of_a_histogram_add_up() -> None:
    """Each holds those below it, and the last all."""
    values = Histogram((1.0, 2.0))
    for value in (0.5, 1.5, 1.6, 9.0):
        values.observe(value)
    one = histogram("a", "help", values)
    many = histograms("b", "help", "feed", {"x": values})
    for family in (one, many):
        buckets = [each for each in family.samples if each.name.endswith("_bucket")]
        assert [(each.labels["le"], each.value) for each in buckets] == [
            ("1.0", 1), ("2.0", 3), ("+Inf", 4),
        ]  # fmt: skip
        [total] = [each.value for each in family.samples if each.name.endswith("_sum")]
        assert total == sum((0.5, 1.5, 1.6, 9.0))
    assert {each.labels.get("feed") for each in many.samples} == {"x"}
