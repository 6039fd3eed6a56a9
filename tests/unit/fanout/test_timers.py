"""tickfan.fanout.timers: windows and ticks."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fanout import SkippingLoop, skips_time, timers
from tickfan.fanout.slices import Slices
from tickfan.fanout.timers import Flusher, Slot

if TYPE_CHECKING:
    from collections.abc import Callable


def this_loop() -> SkippingLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SkippingLoop)
    return loop


class Batch:
    """What a flusher times."""

    def __init__(self, loop: SkippingLoop) -> None:
        self.flushed_at = 0.0
        self.flushes: list[float] = []
        self._loop = loop

    def flush(self) -> None:
        self.flushed_at = self._loop.time()
        self.flushes.append(self.flushed_at)


@skips_time
async def test_a_quiet_batch_is_flushed_at_once_and_a_busy_one_by_window() -> None:
    """At once after a quiet flush_ms; else at the end of a window, with one timer for all."""
    loop = this_loop()
    flusher = Flusher(loop, Slices(loop, perf_counter), 10)
    batches = [Batch(loop) for _ in range(50)]
    for batch in batches:
        flusher.due(batch)
    began = loop.time()
    await asyncio.sleep(0.001)
    assert all(batch.flushes == [began] for batch in batches)
    for batch in batches:
        flusher.due(batch)
    assert timers(loop) == 1
    await asyncio.sleep(0.05)
    for batch in batches:
        assert len(batch.flushes) == 2
        assert 0.009 <= batch.flushes[1] - began <= 0.0115
    assert timers(loop) == 0


@skips_time
async def test_at_once_does_not_wait_for_the_window() -> None:
    """A full batch is flushed in this turn."""
    loop = this_loop()
    flusher = Flusher(loop, Slices(loop, perf_counter), 10)
    batch = Batch(loop)
    batch.flushed_at = began = loop.time()
    flusher.due(batch)
    flusher.at_once(batch)
    await asyncio.sleep(0)
    assert batch.flushes == [began]


@skips_time
async def test_without_a_window_everything_is_flushed_at_once() -> None:
    """flush_ms = 0 has no timer at all."""
    loop = this_loop()
    flusher = Flusher(loop, Slices(loop, perf_counter), 0)
    batch = Batch(loop)
    for _ in range(3):
        flusher.due(batch)
        assert timers(loop) == 0
        await asyncio.sleep(0)
    assert len(batch.flushes) == 3


@skips_time
async def test_a_stopped_flusher_is_silent() -> None:
    """stop forgets the timer and those who wait for it."""
    loop = this_loop()
    flusher = Flusher(loop, Slices(loop, perf_counter), 10)
    batch = Batch(loop)
    batch.flushed_at = loop.time()
    flusher.due(batch)
    flusher.stop()
    assert timers(loop) == 0
    await asyncio.sleep(0.1)
    assert batch.flushes == []


def slot(loop: SkippingLoop, phase: float, then: Callable[[float], Any]) -> Slot:
    return Slot(loop, 100, phase, lambda: then(loop.time()))


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.9])
@skips_time
async def test_a_slot_ticks_at_its_phase_without_drift(phase: float) -> None:
    """A hundred ticks later it is still at its place in the interval."""
    ticks: list[float] = []
    loop = this_loop()
    loop.now += 0.0123
    ticker = slot(loop, phase, ticks.append)
    ticker.start()
    ticker.start()  # once is enough
    await asyncio.sleep(10.0)
    ticker.stop()
    assert len(ticks) == 100
    for tick in ticks:
        assert (tick - phase * 0.1 + 0.05) % 0.1 == pytest.approx(0.05, abs=1e-4)
    await asyncio.sleep(1.0)
    assert len(ticks) == 100
    assert timers(loop) == 0


@skips_time
async def test_a_late_slot_skips_what_it_missed_and_keeps_its_phase() -> None:
    """After the loop was held for several intervals: one tick, then on at the same phase."""
    ticks: list[float] = []
    loop = this_loop()
    ticker = slot(loop, 0.3, ticks.append)
    ticker.start()
    await asyncio.sleep(0.05)
    ticks.clear()
    began = loop.time()
    loop.now += 0.47  # held
    await asyncio.sleep(0.3)
    ticker.stop()
    assert ticks[0] - began == pytest.approx(0.47, abs=1e-4)
    rest = [round((tick - 0.03) % 0.1, 3) % 0.1 for tick in ticks[1:]]
    assert rest == [0.0] * len(rest), f"ticks at {[round(tick - began, 3) for tick in ticks]}"
    assert len(rest) == 3
