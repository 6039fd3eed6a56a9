"""Percentiles are upper bounds, and histograms add up."""

from hypothesis import given
from hypothesis import strategies as st

from loadtest.bench.histogram import BUCKET_US, Histogram, median
from tests.support.updates import LAW


def test_percentiles_of_known_values() -> None:
    """One to a hundred ms: the shares are the values, rounded up to a bucket."""
    ages = Histogram()
    for ms in range(1, 101):
        ages.add(ms * 1000)

    assert ages.total == 100
    assert ages.percentile_ms(0.5) == 50.1
    assert ages.percentile_ms(0.99) == 99.1
    assert ages.percentile_ms(1) == 100.1


def test_an_empty_histogram_has_no_percentile() -> None:
    """Nothing is not zero."""
    assert Histogram().percentile_ms(0.99) is None


def test_a_negative_age_counts_as_none() -> None:
    """Clocks of two cores may differ by less than a bucket."""
    ages = Histogram()
    ages.add(-5)

    assert ages.percentile_ms(1) == BUCKET_US / 1000


@LAW
@given(st.lists(st.integers(0, 10**7), min_size=1), st.floats(0.01, 1))
def test_a_percentile_bounds_its_share(values: list[int], share: float) -> None:
    """At least the share of all values lies below it, and it is within a bucket of one."""
    ages = Histogram()
    for value in values:
        ages.add(value)
    bound = (ages.percentile_ms(share) or 0) * 1000

    assert sum(value < bound for value in values) >= share * len(values)
    assert any(bound - BUCKET_US <= value < bound for value in values)


@LAW
@given(st.lists(st.integers(0, 10**6)), st.lists(st.integers(0, 10**6)))
def test_merging_is_counting_together(left: list[int], right: list[int]) -> None:
    """Two processes' histograms give what one would have."""
    parts = [Histogram(), Histogram()]
    whole = Histogram()
    for part, values in zip(parts, (left, right), strict=True):
        for value in values:
            part.add(value)
            whole.add(value)
    merged = Histogram.from_pairs(parts[0].as_pairs())
    merged.merge(parts[1])

    assert merged.buckets == whole.buckets


def test_medians() -> None:
    """Of an odd count the middle, of an even one the mean of the two."""
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 2, 3]) == 2.5
