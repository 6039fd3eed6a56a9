"""What is allowed: inclusion, and never overlap."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.core.errors import Refusal
from tickfan.core.pattern import Pattern
from tickfan.core.scope import ALL, NONE, TOLD_MAX, Scope

WORDS = ["a", "b", "*", "#"]
TEXTS = [".".join(words) for size in range(1, 4) for words in product(WORDS, repeat=size)]
# "x" and "y" are in no pattern: they stand for all other words.
NAMES = [".".join(words) for size in range(1, 6) for words in product("abxy", repeat=size)]


def test_one_pattern_includes_another_if_it_matches_all_that_it_matches() -> None:
    """Every pair of short patterns, by the names that they match."""
    patterns = [Pattern(text) for text in TEXTS]
    masks = [
        sum(1 << bit for bit, name in enumerate(NAMES) if pattern.matches(name))
        for pattern in patterns
    ]
    for whole, whole_mask in zip(patterns, masks, strict=True):
        for part, part_mask in zip(patterns, masks, strict=True):
            is_included = part_mask & ~whole_mask == 0
            assert whole.includes(part) is is_included, (whole, part)


@pytest.mark.parametrize(
    ("allowed", "asked", "is_allowed"),
    [
        (["trades.A"], "trades.A", True),
        (["trades.A"], "trades.#", False),
        (["trades.#"], "trades.A", True),
        (["trades.*"], "trades.#", False),
        (["trades.#"], "trades", True),
        (["#"], "quotes.*.#", True),
        (["*.#"], "#", True),
        (["#.A"], "*.A", True),
        (["trades.A", "trades.B"], "trades.*", False),
        ([], "a", False),
    ],
)
def test_what_is_asked_lies_in_what_is_allowed(
    allowed: list[str], asked: str, *, is_allowed: bool
) -> None:
    """Examples beside the law."""
    assert Scope(allowed).includes(Pattern(asked)) is is_allowed


@LAW
@given(allowed=st.lists(st.sampled_from(TEXTS), max_size=4), asked=st.sampled_from(TEXTS))
def test_a_scope_allows_only_what_one_of_its_patterns_includes(
    allowed: list[str], asked: str
) -> None:
    """And each name that is so allowed matches."""
    scope, pattern = Scope(allowed), Pattern(asked)
    expected = any(Pattern(text).includes(pattern) for text in allowed)
    assert scope.includes(pattern) is expected
    assert scope.overlaps(pattern) is any(Pattern(text).overlaps(pattern) for text in allowed)
    for name in NAMES[:100]:
        assert scope.matches(name) is any(Pattern(text).matches(name) for text in allowed)
        if expected and pattern.matches(name):
            assert scope.matches(name)


def test_all_and_nothing() -> None:
    """They are asked often."""
    assert ALL.is_all
    assert Scope(["a", "#.#"]).is_all
    assert not Scope(["*.#"]).is_all
    assert ALL.includes(Pattern("#"))
    assert ALL.matches("a")
    assert ALL.overlaps(Pattern("a"))
    assert not NONE.includes(Pattern("a"))
    assert not NONE.matches("a")
    assert not NONE.overlaps(Pattern("#"))


def test_it_is_a_value() -> None:
    """Each pattern once, in their order."""
    scope = Scope(["b", "a", "b"])
    assert list(scope) == ["b", "a"]
    assert scope == Scope(["b", "a"])
    assert hash(scope) == hash(Scope(["b", "a"]))
    assert scope != Scope(["a", "b"])
    assert scope != "b, a"
    assert str(scope) == "b, a"


def test_a_sentence_names_some() -> None:
    """And the number of the others."""
    assert str(NONE) == "nothing"
    many = Scope([f"q.{number}" for number in range(TOLD_MAX + 3)])
    assert str(many).endswith("q.7 and 3 more")


def test_what_is_no_pattern_is_refused() -> None:
    """By name."""
    with pytest.raises(Refusal, match="no empty word"):
        Scope(["a", "b..c"])
