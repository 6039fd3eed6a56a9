"""tickfan.session.grants: requests become grants and refusals."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fanout import FEEDS
from tickfan.core.errors import Refusal
from tickfan.core.feeds import Feeds
from tickfan.core.pattern import Pattern
from tickfan.session.grants import Planner, Request, Rules, parse_request

RULES = Rules(intervals_ms=(50, 100, 1000), channels_per_connection_max=3)
PLANNER = Planner(Feeds(FEEDS), RULES)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channels", None), ("channels", []), ("channels", "trades.a"), ("channels", [1]),
        ("interval_ms", -1), ("interval_ms", 1.5), ("interval_ms", True), ("interval_ms", "100"),
        ("snapshot", 1), ("snapshot", None), ("cursor", 5), ("until", ["done"]),
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_type_is_named(field: str, value: Any) -> None:
    """What it must be and what came."""
    with pytest.raises(Refusal) as refusal:
        parse_request({"channels": ["trades.a"], field: value})
    assert (refusal.value.code, refusal.value.item) == ("bad_field", field)


def test_the_defaults_of_a_request() -> None:
    """A snapshot, each feed's own interval, a fresh start."""
    assert parse_request({"channels": ["a"]}) == Request(("a",))
    full = {"channels": ["a"], "interval_ms": 5, "snapshot": False, "cursor": "1", "until": "done"}
    assert parse_request(full) == Request(("a",), 5, False, "1", "done")


@given(st.integers(0, 10**6))
def test_intervals_round_up_to_the_ladder(asked: int) -> None:
    """Never shorter than asked where the ladder reaches, never off it."""
    step = RULES.round_up(asked)
    assert step in RULES.intervals_ms
    assert step >= min(asked, 1000)
    assert not any(asked <= other < step for other in RULES.intervals_ms)


@pytest.mark.parametrize(("asked", "granted"), [(None, 50), (0, 50), (51, 100), (10**9, 1000)])
def test_a_client_may_ask_for_less_than_the_feed_gives(asked: int | None, granted: int) -> None:
    """The feed's own interval is the shortest; a lossless feed has none."""
    grants = PLANNER.plan(Request(("quotes.a", "trades.a"), asked)).grants
    assert [grant.interval_ms for grant in grants] == [granted, None]


def test_a_pattern_is_granted_in_every_feed_that_it_can_match() -> None:
    """One pattern, a grant a feed."""
    grants = PLANNER.plan(Request(("#",))).grants
    assert [grant.feed.name for grant in grants] == ["quotes", "trades", "book"]


def test_a_refusal_concerns_one_pattern() -> None:
    """The others are granted, in order, each once."""
    wishes = ("trades.a", "trades.", "nobody", "trades.a", "a..b", "book.#")
    result = PLANNER.plan(Request(wishes))
    assert [grant.pattern.text for grant in result.grants] == ["trades.a", "book.#"]
    assert [(one.code, one.item) for one in result.refusals] == [
        ("bad_pattern", "trades."), ("no_feed", "nobody"), ("bad_channel", "a..b"),
    ]  # fmt: skip
    assert "quotes.#, trades.#, book.#" in result.refusals[1].message


def test_the_limit_counts_what_is_held() -> None:
    """New patterns over it are refused; asking again for a held one is not."""
    held = [Pattern("trades.a"), Pattern("trades.b")]
    result = PLANNER.plan(Request(("trades.c", "trades.a", "trades.d")), held)
    assert [grant.pattern.text for grant in result.grants] == ["trades.c", "trades.a"]
    assert [(one.code, one.item) for one in result.refusals] == [("too_many_channels", "trades.d")]


def test_those_who_ask_for_the_same_share_what_they_are_granted() -> None:
    """Whatever else each asks for: ten thousand clients cost the memory of one."""
    one = PLANNER.plan(Request(("quotes.a", "trades.a"), 70)).granted
    other = PLANNER.plan(Request(("quotes.b", "quotes.a"), 90)).granted
    [pattern] = one.keys() & other.keys()
    assert one[pattern] is other[pattern]
    [grant] = PLANNER.plan(Request(("quotes.a",), 2000)).granted[pattern]
    assert grant.interval_ms == 1000
