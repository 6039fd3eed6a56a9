"""service/tickfan/core/index.py: both indexes against the plain matcher, name by name."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.core.index import LOOKS, ChannelIndex, PatternIndex
from tickfan.core.pattern import Pattern

words = st.sampled_from(["a", "b", "c", "d"])
names = st.lists(words, min_size=1, max_size=5).map(".".join)
patterns = (
    st.lists(st.sampled_from(["a", "b", "c", "x", "*", "#"]), min_size=1, max_size=5)
    .map(".".join)
    .map(Pattern)
)


class Named(NamedTuple):
    """A channel, as far as an index knows it."""

    name: str


def index_of(some: list[str]) -> ChannelIndex[Named]:
    index: ChannelIndex[Named] = ChannelIndex()
    for name in some:
        index.add(Named(name))
    return index


def found(index: ChannelIndex[Named], pattern: Pattern, since: int = 0) -> list[str]:
    return [channel.name for channel in chain.from_iterable(index.find(pattern, since))]


@settings(LAW, max_examples=500)
@given(some=st.lists(names, unique=True, max_size=30), pattern=patterns, since=st.integers(0, 30))
def test_a_pattern_finds_its_channels_in_their_order(
    some: list[str], pattern: Pattern, since: int
) -> None:
    """All that match, and nothing else; also among those that came since some moment."""
    index = index_of(some)
    assert len(index) == len(some)
    assert found(index, pattern) == [name for name in some if pattern.matches(name)]
    since = min(since, len(some))
    late = [name for name in some[since:] if pattern.matches(name)]
    assert found(index, pattern, since) == late


@LAW
@given(some=st.lists(names, unique=True, max_size=30), pattern=patterns, since=st.integers(0, 30))
@example(some=["a"], pattern=Pattern("a.b"), since=0)
def test_only_channels_with_the_rarest_word_are_looked_at(
    some: list[str], pattern: Pattern, since: int
) -> None:
    """So a pattern costs what has its rarest word, wherever its wildcards stand."""
    since = min(since, len(some))
    have = Counter(word for name in some[since:] for word in set(name.split(".")))
    rarest = min((have[word] for word in pattern.literals), default=len(some) - since)
    assert index_of(some).looks(pattern, since) == rarest


def test_a_search_can_pause_and_what_comes_meanwhile_is_found_by_the_next() -> None:
    """No list is of more than LOOKS looks, and two searches together find each channel once."""
    some = [f"quotes.{number}.{number % 7}" for number in range(10 * LOOKS + 5)]
    index = index_of(some)
    pattern = Pattern("quotes.*.3")
    until = len(index)
    pieces = []
    for piece in index.find(pattern):
        pieces.append(piece)
        index.add(Named(f"quotes.new{len(pieces)}.3"))
    assert len(pieces) == -(-Counter(name[-1] for name in some)["3"] // LOOKS)
    assert all(len(piece) <= LOOKS for piece in pieces)
    first = [channel.name for piece in pieces for channel in piece]
    assert first == [name for name in some if name.endswith(".3")]
    assert found(index, pattern, until) == [f"quotes.new{n + 1}.3" for n in range(len(pieces))]


def test_a_search_that_finds_nothing_can_pause_too() -> None:
    """A list comes for each LOOKS channels, also if none of them matches."""
    index = index_of([f"quotes.{number}" for number in range(3 * LOOKS)])
    assert list(index.find(Pattern("*.*.*"))) == [[], [], []]


def due(index: PatternIndex[int], name: str) -> set[tuple[Pattern, int]]:
    """Each value that a new channel finds, with its pattern; each pattern comes once."""
    found = index.find(name)
    assert len({pattern for pattern, _ in found}) == len(found)
    return {(pattern, value) for pattern, values in found for value in values}


@settings(LAW, max_examples=300)
@given(
    waiting=st.lists(st.tuples(st.sets(patterns, max_size=5), st.booleans()), max_size=20),
    name=names,
)
def test_a_new_channel_finds_those_who_wait(
    waiting: list[tuple[set[Pattern], bool]], name: str
) -> None:
    """Each value under each of its patterns that matches; none that has been taken back."""
    index: PatternIndex[int] = PatternIndex()
    for value, (some, _) in enumerate(waiting):
        index.add(value, some)
        index.add(value, some)  # it waits already
    for value, (some, stays) in enumerate(waiting):
        if not stays:
            index.remove(value, some)
    left = {(p, value) for value, (some, stays) in enumerate(waiting) if stays for p in some}
    assert due(index, name) == {(p, value) for p, value in left if p.matches(name)}
    assert len(index) == len(left)
    for value, (some, _) in enumerate(waiting):
        index.remove(value, some)  # of what waits no more, too
    assert len(index) == 0
    assert index.find(name) == []


def test_two_who_wait_under_one_pattern() -> None:
    """The plain case: both are found, and the second still when the first has gone."""
    index: PatternIndex[str] = PatternIndex()
    pattern = Pattern("quotes.*")
    index.add("one", [pattern, Pattern("trades.*")])
    index.add("two", [pattern])
    assert [(p, [*values]) for p, values in index.find("quotes.a")] == [(pattern, ["one", "two"])]
    index.remove("one", [pattern])
    assert [(p, [*values]) for p, values in index.find("quotes.a")] == [(pattern, ["two"])]
    assert [[*values] for _, values in index.find("trades.a")] == [["one"]]


class Counted(Pattern):
    """A pattern that counts how often it is tried."""

    __slots__ = ("tries",)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.tries = 0
        plain = self.matches

        def matches(name: str) -> bool:
            self.tries += 1
            return plain(name)

        self.matches = matches


def test_patterns_with_a_word_of_their_own_are_not_tried_for_others() -> None:
    """A thousand patterns share their first words: a new channel tries its own alone."""
    index: PatternIndex[int] = PatternIndex()
    waiting = [Counted(f"quotes.#.z{number}") for number in range(1000)]
    for number, pattern in enumerate(waiting):
        index.add(number, [pattern])
    assert due(index, "quotes.a.z7") == {(waiting[7], 7)}
    assert index.find("quotes.a.b") == []
    assert sum(pattern.tries for pattern in waiting) == 1
