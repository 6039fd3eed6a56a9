"""service/rhythm.py: slices, windows and ticks."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fanout import SkippingLoop, skips_time, timers
from tickfan.fanout.timers import SLICE_S, Flusher, Slices, Slot

if TYPE_CHECKING:
    from collections.abc import Callable


def this_loop() -> SkippingLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SkippingLoop)
    return loop


def busy(seconds: float) -> None:
    """Hold the loop, as a large flush does."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


class Turns:
    """Counts the turns of the loop while it is watching."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.count = 0
        self._loop = loop
        self._next()

    def _next(self) -> None:
        self.count += 1
        self._handle = self._loop.call_soon(self._next)

    def stop(self) -> None:
        self._handle.cancel()


@skips_time
async def test_jobs_run_in_order() -> None:
    """First in, first out, also for jobs that a job adds."""
    slices = Slices(this_loop())
    seen: list[int] = []
    slices.add(lambda: (seen.append(1), slices.add(lambda: seen.append(3))))  # type: ignore[arg-type,func-returns-value]
    slices.add(lambda: seen.append(2))
    await asyncio.sleep(0.1)
    assert seen == [1, 2, 3]


@skips_time
async def test_a_failing_job_stops_nobody() -> None:
    """The others still run; the failure reaches the loop's exception handler."""
    loop = this_loop()
    slices = Slices(loop)
    seen: list[int] = []

    def fail() -> None:
        raise ValueError("on purpose")

    slices.add(lambda: seen.append(1))
    slices.add(fail)
    slices.add(lambda: seen.append(2))
    await asyncio.sleep(0.1)
    assert seen == [1, 2]
    assert [str(failure["exception"]) for failure in loop.failures] == ["on purpose"]
    loop.failures.clear()


@skips_time
async def test_a_turn_holds_one_slice() -> None:
    """However the jobs came in, a turn runs a slice's worth and the job that crosses its end."""
    loop = this_loop()
    slices = Slices(loop)
    ran_in: list[int] = []
    turns = Turns(loop)
    done = asyncio.Event()

    def job() -> None:
        ran_in.append(turns.count)
        busy(SLICE_S * 0.6)
        # Jobs add jobs: a round of the pump queues the next one.
        if len(ran_in) < 30:
            slices.add(job)
        else:
            done.set()

    for _ in range(4):
        slices.add(job)
    await done.wait()
    turns.stop()
    most = max(ran_in.count(turn) for turn in set(ran_in))
    assert most <= 2, f"{most} jobs of 0.6 slices in one turn"
    assert slices.longest_s >= SLICE_S


@skips_time
async def test_who_waits_for_a_job_gets_what_it_brings() -> None:
    """Its result or its failure; a job that nobody waits for any more is not run."""
    slices = Slices(this_loop())
    assert await slices.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await slices.run(lambda: 1 // 0)
    ran: list[int] = []
    slices.run(lambda: ran.append(1)).cancel()
    await asyncio.sleep(0.1)
    assert ran == []


@skips_time
async def test_a_job_may_end_the_wait_for_it() -> None:
    """As a handler does that hands its connection over; a failure after that is still told."""
    loop = this_loop()
    slices = Slices(loop)

    async def wait(fails: bool) -> None:
        def job() -> None:
            tasks[fails].cancel()
            if fails:
                raise ValueError("on purpose")

        await slices.run(job)

    tasks = [asyncio.ensure_future(wait(fails)) for fails in (False, True)]
    assert await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() for task in tasks)
    assert [str(failure["exception"]) for failure in loop.failures] == ["on purpose"]
    loop.failures.clear()


@skips_time
async def test_what_a_turn_writes_counts() -> None:
    """The loop is held until the next turn begins, not until the jobs have returned."""
    loop = this_loop()
    slices = Slices(loop)
    slices.add(lambda: loop.call_soon(busy, 0.03))  # type: ignore[arg-type]
    await asyncio.sleep(0.1)
    assert 0.03 <= slices.longest_s < 1
    slices.longest_s = 0.0
    await asyncio.sleep(0)
    busy(0.03)
    slices.add(lambda: None)
    await asyncio.sleep(0.1)
    assert slices.longest_s < 0.03, "what came between two bursts is none of theirs"


@skips_time
async def test_stop_drops_what_has_not_run() -> None:
    """After stop, nothing runs, not even what was queued."""
    slices = Slices(this_loop())
    seen: list[int] = []
    slices.add(lambda: seen.append(1))
    slices.stop()
    await asyncio.sleep(0.1)
    assert seen == []
    slices.add(lambda: seen.append(2))
    await asyncio.sleep(0.1)
    assert seen == [2], "it can be used again"


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
    flusher = Flusher(loop, Slices(loop), 10)
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
    flusher = Flusher(loop, Slices(loop), 10)
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
    flusher = Flusher(loop, Slices(loop), 0)
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
    flusher = Flusher(loop, Slices(loop), 10)
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
