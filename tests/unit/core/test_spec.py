"""tickfan.core.spec"""

from __future__ import annotations

import pytest

from tickfan.core.spec import Delivery, FeedOverlap, FeedSpec, check_overlaps


def spec(name: str, *bind: str) -> FeedSpec:
    """A lossless feed's settings."""
    return FeedSpec(name, bind, Delivery.LOSSLESS)


def test_overlapping_feeds_are_refused_by_name() -> None:
    """Both feeds and both patterns are in the sentence."""
    with pytest.raises(FeedOverlap) as overlap:
        check_overlaps([spec("a", "x.#"), spec("b", "y"), spec("c", "z", "*.y")])
    for word in ("'a'", "'c'", "'x.#'", "'*.y'"):
        assert word in str(overlap.value)


def test_separate_feeds_pass() -> None:
    """Also if one feed's own patterns overlap each other."""
    check_overlaps([spec("a", "x.#", "x.*"), spec("b", "y.#")])
    check_overlaps([])
