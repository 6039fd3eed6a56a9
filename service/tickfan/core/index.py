"""Indexes of words: a pattern finds its channels, and a new channel finds its patterns.

Neither search looks at everything. A pattern is looked for among the channels that have
its rarest word. For new channels it waits under one of its words. A tree of words would
not do: a ``#`` in front or in the middle walks all of it.

Must not know feeds, audiences, nor how long a look may take.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from math import inf
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from tickfan.core.pattern import Pattern

LOOKS = 64
"""Channels that are looked at between two places where a caller can pause: some 0.1 ms."""


class Named(Protocol):
    """What has a channel's name."""

    @property
    def name(self) -> str:
        """Words joined by dots."""


C = TypeVar("C", bound=Named)
T = TypeVar("T")


class ChannelIndex(Generic[C]):
    """Channels in the order in which they came, and the places of each word. It only grows."""

    __slots__ = ("_all", "_places")

    def __init__(self) -> None:
        self._all: list[C] = []
        # Most words are of one channel only: a number is a tenth of an array.
        self._places: dict[str, int | array[int]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, channel: C) -> None:
        """Add a channel; its name must be new."""
        place = len(self._all)
        self._all.append(channel)
        places = self._places
        for word in set(channel.name.split(".")):
            held = places.get(word)
            if held is None:
                places[word] = place
            elif isinstance(held, int):
                places[word] = array("I", (held, place))
            else:
                held.append(place)

    def looks(self, pattern: Pattern, since: int = 0) -> int:
        """How many channels :meth:`find` would look at."""
        _, start, end = self._of_rarest_word(pattern, since)
        return end - start

    def find(self, pattern: Pattern, since: int = 0) -> Iterable[list[C]]:
        """The channels that match, in the order in which they came.

        ``since`` leaves out the channels that were there when the index was so
        long. One list, which may be empty, comes for each LOOKS channels that
        were looked at. Between two of them the index may grow: what came after
        the first is not looked at.
        """
        for word in pattern.literals:
            if word not in self._places:
                return ()  # as most wildcards that nobody has asked for yet
        held, start, end = self._of_rarest_word(pattern, since)
        return self._matching(pattern, held, start, end)

    def _matching(
        self, pattern: Pattern, held: Sequence[int], start: int, end: int
    ) -> Iterator[list[C]]:
        channels, matches = self._all, pattern.matches
        for at in range(start, end, LOOKS):
            some = [channels[place] for place in held[at : min(at + LOOKS, end)]]
            yield [channel for channel in some if matches(channel.name)]

    def _of_rarest_word(self, pattern: Pattern, since: int) -> tuple[Sequence[int], int, int]:
        """The places to look at, as a sequence and where in it to begin and to end."""
        end = len(self._all)
        best: tuple[Sequence[int], int, int] = range(end), since, end
        for word in pattern.literals:
            held: Sequence[int] | int | None = self._places.get(word)
            if held is None:
                return (), 0, 0
            if isinstance(held, int):
                held = (held,)
            start, end = bisect_left(held, since), len(held)
            if end - start < best[2] - best[1]:
                best = held, start, end
        return best


class PatternIndex(Generic[T]):
    """What waits for new channels: values, each under one or more patterns."""

    __slots__ = ("_by_word", "_values")

    def __init__(self) -> None:
        self._values: dict[Pattern, dict[T, None]] = {}
        # The same, by one word of each pattern; None: it has wildcards only.
        self._by_word: dict[str | None, dict[Pattern, dict[T, None]]] = {}

    def __len__(self) -> int:
        """How many pairs of a pattern and a value there are."""
        return sum(map(len, self._values.values()))

    def add(self, value: T, patterns: Iterable[Pattern]) -> None:
        """Let ``value`` wait for channels that match; that it waits already is no error."""
        of = self._values
        for pattern in patterns:
            values = of.get(pattern)
            if values is None:
                values = of[pattern] = {}
                self._by_word.setdefault(self._rarest_word(pattern), {})[pattern] = values
            values[value] = None

    def remove(self, value: T, patterns: Iterable[Pattern]) -> None:
        """Let ``value`` wait no more under these; that it does not wait is no error."""
        of = self._values
        for pattern in patterns:
            values = of.get(pattern)
            if values is not None:
                values.pop(value, None)
                if not values:
                    del of[pattern]
                    self._drop(pattern)

    def _drop(self, pattern: Pattern) -> None:
        for word in pattern.literals or (None,):
            patterns = self._by_word.get(word)
            if patterns is not None and patterns.pop(pattern, None) is not None:
                if not patterns:
                    del self._by_word[word]
                return

    def find(self, name: str) -> list[tuple[Pattern, Collection[T]]]:
        """The patterns that match the name, each with the values that wait under it."""
        words: set[str | None] = {None, *name.split(".")}
        return [
            (pattern, values)
            for word in words
            for pattern, values in self._by_word.get(word, {}).items()
            if pattern.matches(name)
        ]

    def _rarest_word(self, pattern: Pattern) -> str | None:
        """The word of the pattern under which the fewest patterns wait."""
        # Of equals the last: names begin with the words that most of them share.
        best: str | None = None
        fewest = inf
        for word in reversed(pattern.literals):
            patterns = self._by_word.get(word)
            if patterns is None:
                return word
            if len(patterns) < fewest:
                best, fewest = word, len(patterns)
        return best
