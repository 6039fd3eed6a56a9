"""The bench in small: its peers, which are checked as we are, and a point of its growth."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from loadtest.bench.growth import AXES
from loadtest.bench.machine import Cores
from loadtest.bench.run import Bench, absent
from loadtest.bench.shapes import STEADY
from loadtest.bench.steady import Span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadtest.rig.rabbitmq import RabbitNode

CLIENTS, RATE, DECODE = 5, 40, 2
LAYOUTS = 4
SHAPE = replace(STEADY[0], clients=CLIENTS, rate=RATE, decode=DECODE)


@pytest.fixture
def bench(mortal_rabbitmq: RabbitNode, tmp_path: Path) -> Iterator[Bench]:
    """A bench of very short runs."""
    cores = os.sched_getaffinity(0)
    span = Span(0.2, 1)
    try:
        yield Bench(tmp_path, mortal_rabbitmq, mortal_rabbitmq.pid, Cores(), span, 1, False, print)
    finally:
        os.sched_setaffinity(0, cores)


@pytest.mark.parametrize(
    ("peer", "server"), [("ws", "ws on Node"), ("stomp", "RabbitMQ Web-STOMP")]
)
def test_a_peer_delivers_and_is_measured(bench: Bench, peer: str, server: str) -> None:
    """Counted by all clients, decoded by some: nothing lost, with its cost and its ages."""
    if reason := absent().get(peer):
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)

    [row] = {"ws": bench.ws, "stomp": bench.stomp}[peer](SHAPE)

    assert (row.server, row.checked) == (server, "ok")
    assert row.extra["decoded"] >= DECODE * RATE * bench.span.measure_s / 2
    assert row.out_per_s > 0
    assert row.cpu_us
    assert row.p50_ms is not None


@pytest.mark.parametrize("name", ["layouts", "lossless layouts"])
def test_clients_with_few_layouts_are_few_audiences(bench: Bench, name: str) -> None:
    """And each of them gets what was published on its channels: all, or the newest."""
    bench.alone = True
    [axis] = [axis for axis in AXES if axis.name == name]
    shape = replace(axis.shape(1), clients=20, layouts=LAYOUTS, decode=2, rate=500)

    [row] = bench.shape(shape)

    assert row.checked == "ok"
    assert row.extra["audiences"] == LAYOUTS
    assert row.extra["decoded"] > 0
    assert row.extra["start_mb"] <= row.rss_mb
    assert row.writes_s > 0
