"""tickfan.session.grants: requests become grants and refusals."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.access import ANYBODY
from tests.support.fanout import FEEDS, asked
from tests.support.updates import LAW
from tickfan.core.errors import Refusal
from tickfan.core.feeds import Feeds
from tickfan.core.pattern import Pattern
from tickfan.session.grants import Planner, Request, Rules, parse_request

RULES = Rules(
    intervals_ms=(50, 100, 1000), channels_per_connection_max=3, wildcards_per_connection_max=1
)
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
        parse_request({"channels": ["trades.a"], field: value}, 3)
    assert (refusal.value.code, refusal.value.item) == ("bad_field", field)


def test_the_defaults_of_a_request() -> None:
    """A snapshot, each feed's own interval, a fresh start."""
    pattern = Pattern("a")
    assert asked("a") == Request(("a",), (pattern,), None, True, None, None)
    full = asked("a", interval_ms=5, snapshot=False, cursor="1", until="done")
    assert full == Request(("a",), (pattern,), 5, False, {}, "done")


@LAW
@given(st.integers(0, 10**6))
def test_intervals_round_up_to_the_ladder(asked: int) -> None:
    """Never shorter than asked where the ladder reaches, never off it."""
    step = RULES.round_up(asked)
    assert step in RULES.intervals_ms
    assert step >= min(asked, 1000)
    assert not any(asked <= other < step for other in RULES.intervals_ms)


@pytest.mark.parametrize(("asks", "granted"), [(None, 50), (0, 50), (51, 100), (10**9, 1000)])
def test_a_client_may_ask_for_less_than_the_feed_gives(asks: int | None, granted: int) -> None:
    """The feed's own interval is the shortest; a lossless feed has none."""
    grants = PLANNER.plan(asked("quotes.a", "trades.a", interval_ms=asks), ANYBODY).grants
    assert [grant.interval_ms for grant in grants] == [granted, None]


def test_a_pattern_is_granted_in_every_feed_that_it_can_match() -> None:
    """One pattern, a grant a feed."""
    grants = PLANNER.plan(asked("#"), ANYBODY).grants
    assert [grant.feed.name for grant in grants] == ["quotes", "trades", "book"]


def test_a_refusal_concerns_one_pattern() -> None:
    """The others are granted, in order, each once."""
    wishes = ("trades.a", "trades.", "nobody", "trades.a", "a..b", "book.#")
    result = PLANNER.plan(asked(*wishes), ANYBODY)
    assert [*result.granted] == ["trades.a", "book.#"]
    assert [(one.code, one.item) for one in result.refusals] == [
        ("bad_pattern", "trades."), ("no_feed", "nobody"), ("bad_channel", "a..b"),
    ]  # fmt: skip
    assert "quotes.#, trades.#, book.#" in result.refusals[1].message


def test_the_limit_counts_what_is_held() -> None:
    """New patterns over it are refused; asking again for a held one is not."""
    held = [Pattern("trades.a"), Pattern("trades.b")]
    plan = PLANNER.plan(asked("trades.c", "trades.a", "trades.d"), ANYBODY)
    result = PLANNER.fit(plan, held)
    assert [*result.granted] == ["trades.c", "trades.a"]
    assert [(one.code, one.item) for one in result.refusals] == [("too_many_channels", "trades.d")]


TEXTS = ("trades.a", "trades.b", "quotes.a", "#", "book.#", "nobody", "no.body", "a..b", "trades.")


def one_by_one(texts: list[str], held: set[str]) -> tuple[list[str], list[tuple[str, str | None]]]:
    """What is granted and refused if each text is looked at alone, and counted by hand."""
    granted: list[str] = []
    refused: list[tuple[str, str | None]] = []
    count = len(held)
    for text in dict.fromkeys(texts):
        try:
            Pattern(text)
        except Refusal as refusal:
            refused.append((refusal.code, refusal.item))
            continue
        is_new = text not in held
        wild = sum("#" in each for each in {*held, *granted})
        if is_new and count >= RULES.channels_per_connection_max:
            refused.append(("too_many_channels", text))
        elif is_new and "#" in text and wild >= RULES.wildcards_per_connection_max:
            refused.append(("too_many_wildcards", text))
        elif not PLANNER.plan(asked(text), ANYBODY).granted:
            refused.append(("no_feed", text))
        else:
            granted.append(text)
            count += is_new
    return granted, refused


wishes = st.lists(st.sampled_from(TEXTS), min_size=1)


@LAW
@given(wishes, st.sets(st.sampled_from(TEXTS[:5]), max_size=3))
def test_a_plan_that_is_fitted_is_as_one_made_for_the_connection(
    texts: list[str], held: set[str]
) -> None:
    """Each refusal in its place, and for the reason that comes first; the plan stays as it is."""
    plan = PLANNER.plan(asked(*texts), ANYBODY)
    before = [*plan.granted], [*plan.refusals]
    result = PLANNER.fit(plan, [Pattern(text) for text in held])
    refused = [(one.code, one.item) for one in result.refusals]
    assert ([*result.granted], refused) == one_by_one(texts, held)
    assert before == ([*plan.granted], [*plan.refusals])


def test_of_too_many_channels_none_is_looked_at() -> None:
    """However many names a body has, they cost nothing but their count."""
    request = parse_request({"channels": ["a", "b..", "a"]}, 2)
    assert (request.channels, request.patterns) == (("a", "b..", "a"), ())


def test_a_cursor_that_is_none_is_refused_whenever_it_is_asked_for() -> None:
    """Each transport says when; what else is wrong with the request may come first."""
    request = asked("trades.a", cursor="nonsense")
    for _ in range(2):
        with pytest.raises(Refusal) as refusal:
            request.places()
        assert refusal.value.code == "bad_cursor"


def test_those_who_ask_for_the_same_share_what_they_are_granted() -> None:
    """Whatever else each asks for: ten thousand clients cost the memory of one."""
    one = PLANNER.plan(asked("quotes.a", "trades.a", interval_ms=70), ANYBODY).granted
    other = PLANNER.plan(asked("quotes.b", "quotes.a", interval_ms=90), ANYBODY).granted
    [pattern] = one.keys() & other.keys()
    assert one[pattern] is other[pattern]
    [grant] = PLANNER.plan(asked("quotes.a", interval_ms=2000), ANYBODY).granted[pattern]
    assert grant.interval_ms == 1000


def test_wildcards_have_a_limit_of_their_own() -> None:
    """Those that are held count; one that is asked for again does not, nor one that nobody has."""
    whole = PLANNER.plan(asked("trades.*", "weather.*", "trades.a", "book.#"), ANYBODY)
    plan = PLANNER.fit(whole, ())
    assert [*plan.granted] == ["trades.*", "trades.a"]
    codes = [("no_feed", "weather.*"), ("too_many_wildcards", "book.#")]
    assert [(one.code, one.item) for one in plan.refusals] == codes
    again = PLANNER.fit(whole, [Pattern("trades.*"), Pattern("quotes.a")])
    assert [*again.granted] == ["trades.*", "trades.a"]
    other = PLANNER.fit(whole, [Pattern("quotes.#")])
    assert [*other.granted] == ["trades.a"]
