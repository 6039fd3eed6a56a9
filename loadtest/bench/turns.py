"""Servers that take turns: whose turn it is, and what the pairs of a round say.

A machine drifts: one server measured after the other says as much about the hour as
about the servers. Two turns of one round lie seconds apart, and their ratio keeps
none of the drift. Must not know what the servers are.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

CPU = "CPU us"
"""What the names of figures of cost begin with."""

Figures = dict[str, float]
"""What a turn has measured, by name."""


class Subject(Protocol):
    """A server with its load, ready and idle between turns."""

    def turn(self) -> Figures:
        """Load it for some seconds; it is idle again afterwards."""

    def check(self) -> str:
        """After the last turn: ``ok``, or what was not as promised."""


@dataclass(frozen=True)
class Plan:
    """``rounds`` in which each has a turn: seconds of warm-up and of measuring."""

    rounds: int
    warm_s: float
    measure_s: float


@dataclass
class Series:
    """One shape: for each round what the turns of the subjects have measured.

    ``ours`` is the subject that the others are held against. ``checked``: what was
    found wrong with each, or why it has no more turns.
    """

    title: str
    ours: str
    rounds: list[dict[str, Figures]] = field(default_factory=list)
    checked: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For the JSON file: the ratios, and every turn."""
        return {
            "shape": self.title,
            "ratios": [ratio.as_dict() for ratio in ratios(self)],
            "checked": self.checked,
            "turns": self.rounds,
        }


@dataclass(frozen=True)
class Ratio:
    """Ours to another subject's, of one figure: ``pairs`` has the ratio of each round.

    ``mine`` and ``theirs`` are the medians of the turns.
    """

    against: str
    what: str
    mine: float
    theirs: float
    pairs: tuple[float, ...]

    @property
    def median(self) -> float:
        """The ratio of the round in the middle."""
        return median(self.pairs)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Half of the rounds lie between them."""
        if len(self.pairs) == 1:
            return self.pairs[0], self.pairs[0]
        first, _, third = quantiles(self.pairs, n=4, method="inclusive")
        return first, third

    def as_dict(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "against": self.against, "what": self.what, "ours": self.mine, "theirs": self.theirs,
            "median": self.median, "quartiles": self.quartiles,
            "least": min(self.pairs), "most": max(self.pairs), "turns": len(self.pairs),
        }  # fmt: skip


def order(names: Sequence[str], index: int) -> list[str]:
    """Whose turn it is in round ``index``: to and fro, so that nobody always comes first."""
    return list(names) if index % 2 == 0 else list(reversed(names))


def ratios(series: Series) -> list[Ratio]:
    """Ours to each other subject, for each figure that both have in some round.

    Only turns of the same round are a pair. A figure that is not positive makes none.
    """
    others = {name: None for taken in series.rounds for name in taken if name != series.ours}
    found = []
    for other in others:
        pairs: dict[str, list[tuple[float, float]]] = {}
        for taken in series.rounds:
            mine, theirs = taken.get(series.ours, {}), taken.get(other, {})
            for what in mine:
                if mine[what] > 0 and theirs.get(what, 0) > 0:
                    pairs.setdefault(what, []).append((mine[what], theirs[what]))
        found += [_ratio(other, what, of) for what, of in pairs.items()]
    return found


def _ratio(against: str, what: str, pairs: Sequence[tuple[float, float]]) -> Ratio:
    mine, theirs = zip(*pairs, strict=True)
    return Ratio(against, what, median(mine), median(theirs), tuple(m / t for m, t in pairs))


def take(
    title: str,
    openings: Mapping[str, Callable[[ExitStack], Subject]],
    rounds: int,
    say: Callable[[str], None],
) -> Series:
    """Open all subjects, of which the first is ours, and give each a turn in every round.

    The first round does not count: nobody is to be the one that had just started.
    A subject that breaks has no more turns, and the rest go on.
    """
    series = Series(title, next(iter(openings)))
    subjects: dict[str, Subject] = {}

    with ExitStack() as stack:
        for name, opening in openings.items():
            say(f"{title}: {name} starts")
            with _out_if_it_breaks(series, subjects, name):
                subjects[name] = opening(stack)
        for index in range(rounds + 1):
            taken: dict[str, Figures] = {}
            for name in order(list(subjects), index):
                say(f"{title}: round {index} of {rounds}: {name}")
                with _out_if_it_breaks(series, subjects, name):
                    taken[name] = subjects[name].turn()
            if index > 0:
                series.rounds.append(taken)
        for name in list(subjects):
            with _out_if_it_breaks(series, subjects, name):
                series.checked[name] = subjects[name].check()
    return series


@contextmanager
def _out_if_it_breaks(series: Series, subjects: dict[str, Subject], name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, AssertionError) as error:  # the last: a ServiceProcess's
        series.checked[name] = f"failed: {error}"
        subjects.pop(name, None)
