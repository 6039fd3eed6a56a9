"""Servers take turns, turns of one round are pairs, and the pairs' median is the result."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from loadtest.bench.turns import Ratio, Series, order, ratios, take

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from loadtest.bench.turns import Figures, Subject

COST = "CPU us an update"


class Server:
    """A subject whose machine drifts: each turn of anybody costs more than the one before."""

    def __init__(self, name: str, cost: float, log: list[str], fails: str = "") -> None:
        self._name, self._cost, self._log, self._fails = name, cost, log, fails

    def opening(self, stack: ExitStack) -> Subject:
        if self._fails == "opening":
            raise RuntimeError("no such program")
        stack.callback(self._log.append, f"{self._name} closed")
        return self

    def turn(self) -> Figures:
        self._log.append(self._name)
        if self._fails == "turn" and self._log.count(self._name) == 3:
            raise OSError("gone")
        return {COST: self._cost * 1.1 ** len(self._log)}

    def check(self) -> str:
        self._log.append(f"{self._name} checked")
        return "lost: 2" if self._fails == "check" else "ok"


def run(rounds: int, *servers: tuple[str, float, str]) -> tuple[Series, list[str]]:
    """The series of some servers (name, cost, where it fails), and what was done when."""
    log: list[str] = []
    openings = {name: Server(name, cost, log, fails).opening for name, cost, fails in servers}
    return take("A", openings, rounds, lambda _said: None), log


def test_everybody_has_a_turn_in_every_round_and_nobody_always_comes_first() -> None:
    """To and fro; they are checked after the last turn, and closed after that."""
    series, log = run(2, ("this", 1, ""), ("old", 1, ""), ("peer", 1, ""))

    there, back = ["this", "old", "peer"], ["peer", "old", "this"]
    checked = ["this checked", "old checked", "peer checked"]
    assert log == [*there, *back, *there, *checked, "peer closed", "old closed", "this closed"]
    assert [list(taken) for taken in series.rounds] == [back, there], "the first does not count"
    assert order(["this", "old"], 0) == ["this", "old"]
    assert order(["this", "old"], 1) == ["old", "this"]


def test_a_drift_of_the_machine_is_not_in_the_ratio() -> None:
    """It doubles every four rounds here, and the pairs still say a third less."""
    series, _ = run(12, ("this", 2, ""), ("old", 3, ""))
    [ratio] = ratios(series)

    assert all(later > sooner for sooner, later in pairwise(r["this"][COST] for r in series.rounds))
    assert ratio.median == pytest.approx(2 / 3, rel=0.01)
    assert len(ratio.pairs) == 12
    assert (ratio.against, ratio.what) == ("old", COST)


def series_of(*rounds: dict[str, Figures], ours: str = "this") -> Series:
    return Series("A", ours, list(rounds))


def test_only_turns_of_one_round_are_a_pair() -> None:
    """A round in which one is missing gives none, nor does a figure of nothing."""
    series = series_of(
        {"this": {COST: 1.0, "age": 5.0}, "old": {COST: 2.0}},
        {"this": {COST: 7.0}},
        {"old": {COST: 9.0}},
        {"this": {COST: 3.0}, "old": {COST: 4.0}},
        {"this": {COST: 0.0}, "old": {COST: 4.0}},
        {"this": {COST: 4.0}, "old": {COST: 0.0}},
    )
    [ratio] = ratios(series)

    assert ratio.pairs == (0.5, 0.75)
    assert (ratio.mine, ratio.theirs) == (2.0, 3.0)


def test_ours_is_held_against_each_of_the_others_in_each_figure() -> None:
    """The others are not held against each other."""
    taken = {"old": {COST: 2.0, "age": 2.0}, "this": {COST: 1.0, "age": 3.0}, "peer": {COST: 4.0}}
    found = {(ratio.against, ratio.what): ratio.pairs for ratio in ratios(series_of(taken))}

    assert found == {("old", COST): (0.5,), ("old", "age"): (1.5,), ("peer", COST): (0.25,)}


@pytest.mark.parametrize(
    ("pairs", "median", "quartiles"),
    [
        ((1.0, 9.0, 2.0), 2.0, (1.5, 5.5)),
        ((4.0, 1.0, 2.0, 3.0), 2.5, (1.75, 3.25)),
        ((0.5,), 0.5, (0.5, 0.5)),
        ((1.0, 1.0, 1.0, 1.0, 50.0), 1.0, (1.0, 1.0)),
    ],
)
def test_the_middle_and_the_spread(
    pairs: tuple[float, ...], median: float, quartiles: tuple[float, float]
) -> None:
    """In any order; one wild round moves neither."""
    ratio = Ratio("old", COST, 1, 1, pairs)

    assert ratio.median == median
    assert ratio.quartiles == quartiles
    said = ratio.as_dict()
    assert (said["least"], said["most"], said["turns"]) == (min(pairs), max(pairs), len(pairs))


@pytest.mark.parametrize(
    ("fails", "said", "turns"),
    [
        ("opening", "failed: no such program", 0),
        ("turn", "failed: gone", 1),
        ("check", "lost: 2", 4),
    ],
)
def test_who_breaks_has_no_more_turns_and_the_rest_go_on(fails: str, said: str, turns: int) -> None:
    """What it had measured stays, and what was wrong is said."""
    series, log = run(4, ("this", 1, ""), ("peer", 2, fails), ("old", 1, ""))

    assert series.checked == {"this": "ok", "old": "ok", "peer": said}
    assert sum("peer" in taken for taken in series.rounds) == turns
    assert all({"this", "old"} <= taken.keys() for taken in series.rounds)
    assert log[-1] == "this closed"


def test_an_error_of_the_bench_itself_is_not_hidden() -> None:
    """Only what a server or its load may do is; a subject is closed all the same."""
    log: list[str] = []
    wrong: Callable[[ExitStack], Any] = {}.__getitem__  # type: ignore[assignment]

    with pytest.raises(KeyError):
        take("A", {"this": Server("this", 1, log).opening, "x": wrong}, 1, log.append)
    assert log[-1] == "this closed"
