"""`--vs`: two builds of ours, and peers, in turns on the server's core.

All of a shape's servers live at once, with clients and an exchange of their own; only
the one whose turn it is gets updates. Must not know how results are shown.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest.bench.builds import HERE, Build
from loadtest.bench.shapes import STEADY
from loadtest.bench.steady import Row, Span, Steady
from loadtest.bench.subject import own_exchange
from loadtest.bench.targets import OURS, naive, nchan_of, ours, ws_on_node
from loadtest.bench.turns import CPU, Figures, Plan, take
from loadtest.bench.versus_special import connects, ingests, stalls
from loadtest.releases import BUILT, checkout, commits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager, ExitStack

    from loadtest.bench.run import Bench
    from loadtest.bench.shapes import Shape
    from loadtest.bench.steady import Target
    from loadtest.bench.turns import Series, Subject

QUICK, SUSTAINED = Plan(6, 0.4, 1.5), Plan(20, 0.5, 3)
STILL_S = 0.15
HOLDING = {"A": ("nchan", "ws", "naive"), "A0": ("nchan",)}
"""The peers of each shape that can hold its rate: what waits would spoil the next turn."""

LIGHTER: dict[str, dict[str, Any]] = {"D": {"clients": 1000, "rate": 20_000}}
"""What a shape has less of in turns. A core that is full skips ticks, and what each
delivered update costs then says how full it was."""

THIS = "this build"


def other(vs: str) -> Build:
    """The build that ``--vs`` names: a release, or the path of a checkout.

    Raises :class:`LookupError` or :class:`RuntimeError`, with a message for the user.
    """
    known = commits()
    if vs in known:
        return Build.of(checkout(known[vs], BUILT / vs), vs)
    path = Path(vs)
    if not path.is_dir():
        raise LookupError(f"{vs} is neither a directory nor a release ({', '.join(known)})")
    return Build.of(path, vs)


def builds(rival: Build) -> dict[str, Build]:
    """The two builds, ours first."""
    return {THIS: Build.of(HERE, THIS), rival.name: rival}


def measured(bench: Bench, rival: Build, plan: Plan, shapes: Sequence[str]) -> Iterator[Series]:
    """The series of all wanted shapes, each as soon as it is done."""
    both = builds(rival)
    for shape in STEADY:
        if shape.name in shapes:
            lighter = replace(shape, **LIGHTER.get(shape.name, {}))
            for wire in ("rows", "sse") if shape.sse else ("rows",):
                yield _steady(bench, lighter, wire, both, plan)
    for letter, measure in (("E", connects), ("F", stalls), ("G", ingests)):
        if letter in shapes:
            for title, openings in measure(bench, both, plan):
                yield take(title, openings, plan.rounds, bench.say)


def _steady(bench: Bench, shape: Shape, wire: str, both: Mapping[str, Build], plan: Plan) -> Series:
    span = Span(plan.warm_s, plan.measure_s, settle_s=3)

    def opening(target: AbstractContextManager[Target]) -> Callable[[ExitStack], Subject]:
        return lambda stack: SteadySubject(stack, bench, shape, target, span)

    openings = {
        name: opening(ours(bench, shape, wire, build=build, exchange=own_exchange()))
        for name, build in both.items()
    }
    for name, target in _peers(bench, shape, wire):
        openings[name] = opening(target)
    return take(f"{shape.name} {OURS[wire][0].split()[1]}", openings, plan.rounds, bench.say)


def _peers(
    bench: Bench, shape: Shape, wire: str
) -> Iterator[tuple[str, AbstractContextManager[Target]]]:
    """The peers on this wire. A Python loop cannot hold A on SSE, and ``ws`` has none."""
    makes: dict[tuple[str, str], Callable[[], AbstractContextManager[Target]]] = {
        ("nchan", "rows"): partial(nchan_of, bench, shape, "frames"),
        ("nchan", "sse"): partial(nchan_of, bench, shape, "events"),
        ("ws", "rows"): lambda: ws_on_node(bench, shape, own_exchange()),
        ("naive", "rows"): lambda: naive(bench, shape, "frames", own_exchange()),
    }
    for (peer, on), make in makes.items():
        wanted = peer in HOLDING.get(shape.name, ()) and on == wire
        if wanted and peer not in bench.absent and not bench.alone:
            yield peer, make()


class SteadySubject:
    """One server of a steady shape, with its clients and its publisher."""

    def __init__(
        self,
        stack: ExitStack,
        bench: Bench,
        shape: Shape,
        target: AbstractContextManager[Target],
        span: Span,
    ) -> None:
        self._still_s = STILL_S + (shape.interval_ms or 0) / 1000
        self._steady = Steady(shape, stack.enter_context(target), bench.cores, span)
        stack.enter_context(self._steady.opened())
        self._row: Row

    def turn(self) -> Figures:
        """See :class:`.turns.Subject`."""
        self._row = self._steady.turn()
        self._steady.settle(self._still_s)
        return figures(self._row)

    def check(self) -> str:
        """See :class:`.turns.Subject`."""
        self._steady.check(self._row)
        return self._row.checked


def figures(row: Row) -> Figures:
    """What is compared of a turn; without those that it does not have."""
    found = {
        f"{CPU} an update": row.cpu_us,
        "age p50 ms": row.p50_ms,
        "age p99 ms": row.p99_ms,
        "delivered/s": row.out_per_s,
        "bytes an update": row.kb_s_client * 1000 * row.clients / (row.out_per_s or 1),
    }
    return {what: value for what, value in found.items() if value is not None}
