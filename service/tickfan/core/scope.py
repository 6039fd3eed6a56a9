"""What somebody may read or write: a set of patterns.

Must not know who may, nor how that is known.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tickfan.core.pattern import Pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

TOLD_MAX = 8
"""Patterns of a scope that a sentence names; of the others it tells the number."""


class Scope:
    """The patterns that are allowed. What is asked for must lie in one of them.

    Inclusion, and not overlap: who may have ``trades.A`` may not have ``trades.#``. A pattern
    that only several patterns include together is not allowed, so that one sentence says why.
    """

    __slots__ = ("_names", "_wild", "is_all", "patterns")

    def __init__(self, texts: Iterable[str]) -> None:
        """Raises :class:`~tickfan.core.errors.Refusal` for a text that is no pattern."""
        self.patterns = tuple(dict.fromkeys(map(Pattern, texts)))
        self._names = frozenset(pattern for pattern in self.patterns if not pattern.is_wild)
        wild = [pattern for pattern in self.patterns if pattern.is_wild]
        # Each under the one of its words that fewest of them have: what is asked for must have
        # that word. Those without a word are under none.
        counts = Counter(word for pattern in wild for word in set(pattern.literals))
        self._wild: dict[str, list[Pattern]] = {}
        for pattern in wild:
            word = min(pattern.literals, key=counts.__getitem__, default="")
            self._wild.setdefault(word, []).append(pattern)
        self.is_all = any(set(pattern.words) == {"#"} for pattern in wild)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scope) and self.patterns == other.patterns

    def __hash__(self) -> int:
        return hash(self.patterns)

    def __iter__(self) -> Iterator[Pattern]:
        return iter(self.patterns)

    def __str__(self) -> str:
        """What is allowed, for a sentence."""
        told = ", ".join(pattern.text for pattern in self.patterns[:TOLD_MAX])
        more = len(self.patterns) - TOLD_MAX
        return f"{told} and {more} more" if more > 0 else told or "nothing"

    def includes(self, pattern: Pattern) -> bool:
        """Whether all of a pattern is allowed."""
        if self.is_all or pattern in self._names:
            return True
        if not pattern.is_wild:
            return any(allowed.matches(pattern.text) for allowed in self._having(pattern.words))
        return any(allowed.includes(pattern) for allowed in self._having(pattern.literals))

    def matches(self, name: str) -> bool:
        """Whether a channel of that name is allowed."""
        return (
            self.is_all
            or name in self._names
            or any(allowed.matches(name) for allowed in self._having(name.split(".")))
        )

    def _having(self, words: Sequence[str]) -> Iterator[Pattern]:
        """The patterns with wildcards that may include what has these words."""
        by_word = self._wild
        for word in ("", *dict.fromkeys(words)):
            yield from by_word.get(word, ())

    def overlaps(self, pattern: Pattern) -> bool:
        """Whether some channel of a pattern is allowed."""
        return self.is_all or any(allowed.overlaps(pattern) for allowed in self.patterns)


ALL = Scope(["#"])
NONE = Scope([])
