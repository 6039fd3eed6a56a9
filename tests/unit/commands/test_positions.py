"""tickfan.commands.positions, against a count that looks at each moment."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.commands.positions import ALL, BadLine, Positions, Span, Use

ALWAYS = Span()
FEEDS = ("quotes", "trades")
Line = tuple[float, dict[str, Any]]


def said(event: str, connection: str, subject: str = "ann", **fields: Any) -> dict[str, Any]:
    return {
        "event": event, "connection": connection, "subject": subject, "issuer": "login", **fields,
    }  # fmt: skip


def granted(connection: str, *feeds: str, subject: str = "ann") -> dict[str, Any]:
    of = [{"feed": feed, "interval_ms": None, "patterns": [f"{feed}.#"]} for feed in feeds]
    return said("access granted", connection, subject, granted=of)


def dropped(connection: str, *feeds: str, left: tuple[str, ...] = ()) -> dict[str, Any]:
    patterns = [f"{feed}.#" for feed in feeds]
    return said("access dropped", connection, patterns=patterns, feeds=list(left))


def ended(connection: str, *feeds: str) -> dict[str, Any]:
    return said("connection ended", connection, feeds=list(feeds))


def figures(
    lines: list[Line], span: Span = ALWAYS, alive: dict[str, float] | None = None, **options: Any
) -> dict[tuple[str, str], Use]:
    """The figures by subject and feed."""
    positions = Positions(alive or {}, span, **options)
    for time, line in lines:
        positions.take(time, line)
    return {(who, of): use for ((_, who), of), use in positions.finish().items()}


@dataclass
class Model:
    """What is open, moment by moment: a connection has a set of feeds."""

    lines: list[Line]
    moments: list[tuple[float, dict[str, tuple[str, frozenset[str]]]]]


@st.composite
def histories(draw: st.DrawFn) -> Model:
    """Connections of two subjects that take and drop feeds, renew as another, and end or die."""
    model = Model([], [])
    has: dict[str, tuple[str, frozenset[str]]] = {}
    now = 0.0
    names = [f"{epoch}-{number}" for epoch in "ab" for number in range(3)]
    for _ in range(draw(st.integers(0, 25))):
        now += draw(st.integers(0, 3))
        name = draw(st.sampled_from(names))
        who, feeds = has.get(name, (draw(st.sampled_from(("ann", "bob"))), frozenset[str]()))
        some = draw(st.sets(st.sampled_from(FEEDS), min_size=1))
        what = draw(st.sampled_from(("grant", "grant", "drop", "renew", "end")))
        if what == "grant":
            has[name] = who, feeds | some
            line = granted(name, *some, subject=who)
        elif name not in has:
            continue
        elif what == "drop":
            has[name] = who, feeds - some
            line = {**dropped(name, *some, left=tuple(feeds - some)), "subject": who}
        elif what == "renew":
            other = draw(st.sampled_from(("ann", "bob")))
            model.lines.append((now, said("token renewed", name, other)))
            if other == who:
                continue
            # What it had ends, and begins again at once.
            model.moments.append((now, {**has, name: (who, frozenset())}))
            has[name] = other, feeds
            line = granted(name, *feeds, subject=other)
            if not feeds:
                has.pop(name)
                continue
        else:
            has.pop(name)
            line = {**ended(name, *feeds), "subject": who}
        model.lines.append((now, line))
        model.moments.append((now, dict(has)))
    return model


@LAW
@given(histories(), st.integers(0, 40), st.integers(1, 40), st.integers(0, 3))
def test_the_figures_are_those_of_a_count_of_each_moment(
    model: Model, begin: int, length: int, more: int
) -> None:
    """Hours, their sum, connections and the most at once; a span cuts; the dead end."""
    span = Span(begin + 0.5, begin + 0.5 + length)
    last = model.lines[-1][0] if model.lines else 0.0
    dies_at = last + more  # a process that is killed then
    steps = [*model.moments, (dies_at, {})]
    seconds: dict[tuple[str, str], list[float]] = {}
    most: dict[tuple[str, str], int] = {}
    who_had: dict[tuple[str, str], set[str]] = {}
    for (since, has), (until, _) in pairwise(steps):
        if not (since < span.end and until > span.begin):
            continue
        for key in [(who, feed) for who in ("ann", "bob") for feed in (ALL, *FEEDS)]:
            of = [
                name for name, (who, feeds) in has.items()
                if who == key[0] and (key[1] in feeds or (key[1] == ALL and feeds))
            ]  # fmt: skip
            if of:
                part = min(until, span.end) - max(since, span.begin)
                both = seconds.setdefault(key, [0.0, 0.0])
                both[0] += part
                both[1] += part * len(of)
                most[key] = max(most.get(key, 0), len(of))
                who_had.setdefault(key, set()).update(of)
    found = figures(model.lines, span, {"a": dies_at, "b": dies_at})
    assert {key: [use.seconds, use.connection_seconds] for key, use in found.items()} == seconds
    assert {key: use.at_once_max for key, use in found.items()} == most
    for key, use in found.items():
        # A connection that ended and whose name comes again is another one.
        assert use.connections >= len(who_had[key])
        assert span.begin <= use.first <= use.last <= span.end


def test_a_day_of_one_subject() -> None:
    """Two places, a feed that is dropped and taken again, and all together."""
    found = figures([
        (10, granted("a-1", "quotes")),
        (20, granted("a-2", "quotes", "trades")),
        (30, dropped("a-1", "quotes")),
        (40, granted("a-1", "quotes")),
        (50, ended("a-2", "quotes", "trades")),
        (90, ended("a-1", "quotes")),
    ])  # fmt: skip
    assert {key: (use.first, use.last, use.seconds, use.connection_seconds, use.connections,
                  use.at_once_max) for key, use in found.items()} == {
        ("ann", ALL): (10, 90, 80, 100, 2, 2),
        ("ann", "quotes"): (10, 90, 80, 100, 2, 2),
        ("ann", "trades"): (20, 50, 30, 30, 1, 1),
    }  # fmt: skip


def test_what_was_killed_ends_with_its_last_line_and_is_not_there_with_what_comes_after() -> None:
    """A client that comes back after a kill has one place, not two."""
    lines: list[Line] = [(10, granted("a-1", "quotes")), (200, granted("b-1", "quotes"))]
    use = figures(lines, alive={"a": 70, "b": 260})["ann", "quotes"]
    assert (use.seconds, use.connections, use.at_once_max) == (120, 2, 1)


def test_what_goes_on_after_the_last_line_that_was_known_ends_with_the_log() -> None:
    """A log that grows while it is read twice."""
    lines: list[Line] = [(10, granted("a-1", "quotes")), (90, granted("a-2", "quotes"))]
    use = figures([*lines, (95, said("token renewed", "a-2"))], alive={"a": 70})["ann", "quotes"]
    assert (use.seconds, use.connections, use.at_once_max) == (65, 2, 1)


def test_patterns_are_counted_by_themselves() -> None:
    """One is dropped, and its feed is still read."""
    both = said("access granted", "a-1", granted=[
        {"feed": "quotes", "interval_ms": 50, "patterns": ["quotes.A", "quotes.B"]}
    ])  # fmt: skip
    gone = said("access dropped", "a-1", patterns=["quotes.A"], feeds=["quotes"])
    lines: list[Line] = [(0, both), (10, gone), (30, ended("a-1", "quotes"))]
    found = figures(lines, by_pattern=True)
    assert {of: use.seconds for (_, of), use in found.items()} == {
        ALL: 30, "quotes.A": 10, "quotes.B": 30,
    }  # fmt: skip
    assert {of: use.seconds for (_, of), use in figures(lines).items()} == {ALL: 30, "quotes": 30}


def test_an_end_without_a_beginning_is_told() -> None:
    """Of a connection that had something; one that had nothing is no use of anything."""
    positions = Positions({}, Span())
    positions.take(1, ended("a-1", "quotes"))
    positions.take(2, ended("a-2"))
    positions.take(3, {"event": "audit alive", "epoch": "a"})
    assert (positions.finish(), positions.unknown) == ({}, 1)


@pytest.mark.parametrize(
    "line",
    [
        {"event": "access granted"},
        said("access granted", "a-1"),
        said("access granted", "a-1", granted=["quotes"]),
        said("access granted", "a-1", granted=[{"feed": 1}]),
        said("access dropped", "a-1", patterns=[], feeds=[1]),
        said("connection ended", "a-1", feeds="quotes"),
        {**ended("a-1"), "subject": None},
    ],
)
def test_a_line_that_is_not_as_it_should_be_changes_nothing(line: dict[str, Any]) -> None:
    """It is refused as a whole."""
    positions = Positions({}, Span())
    with pytest.raises(BadLine):
        positions.take(1, line)
    assert not positions.finish()
