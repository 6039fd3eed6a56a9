"""What somebody may read or write: a set of patterns.

Must not know who may, nor how that is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.core.pattern import Pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
        # With the words that a pattern must name to be included: most are told apart by them.
        self._wild = tuple(
            (frozenset(pattern.literals), pattern) for pattern in self.patterns if pattern.is_wild
        )
        self.is_all = any(set(pattern.words) == {"#"} for _, pattern in self._wild)

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
            return any(allowed.matches(pattern.text) for _, allowed in self._wild)
        return any(
            literals.issubset(pattern.literals) and allowed.includes(pattern)
            for literals, allowed in self._wild
        )

    def matches(self, name: str) -> bool:
        """Whether a channel of that name is allowed."""
        return (
            self.is_all
            or name in self._names
            or any(allowed.matches(name) for _, allowed in self._wild)
        )

    def overlaps(self, pattern: Pattern) -> bool:
        """Whether some channel of a pattern is allowed."""
        return self.is_all or any(allowed.overlaps(pattern) for allowed in self.patterns)


ALL = Scope(["#"])
NONE = Scope([])
