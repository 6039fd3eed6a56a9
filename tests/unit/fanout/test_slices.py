"""tickfan.fanout.slices"""

from __future__ import annotations

import asyncio
from time import perf_counter

import pytest

from tests.support.fanout import SkippingLoop, skips_time, timers
from tickfan.core.tally import LAGS_S, Histogram
from tickfan.fanout.slices import SLICE_S, Pulse, Slices


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
    slices = Slices(this_loop(), perf_counter)
    seen: list[int] = []
    slices.add(lambda: (seen.append(1), slices.add(lambda: seen.append(3))))  # type: ignore[arg-type,func-returns-value]
    slices.add(lambda: seen.append(2))
    await asyncio.sleep(0.1)
    assert seen == [1, 2, 3]


@skips_time
async def test_a_failing_job_stops_nobody() -> None:
    """The others still run; the failure reaches the loop's exception handler."""
    loop = this_loop()
    slices = Slices(loop, perf_counter)
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
    slices = Slices(loop, perf_counter)
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
    slices = Slices(this_loop(), perf_counter)
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
    slices = Slices(loop, perf_counter)

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
    slices = Slices(loop, perf_counter)
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
    slices = Slices(this_loop(), perf_counter)
    seen: list[int] = []
    slices.add(lambda: seen.append(1))
    slices.stop()
    await asyncio.sleep(0.1)
    assert seen == []
    slices.add(lambda: seen.append(2))
    await asyncio.sleep(0.1)
    assert seen == [2], "it can be used again"


@skips_time
async def test_a_held_loop_is_felt_as_long_as_it_was_held() -> None:
    """Pulses that were missed count with what was left of the wait: none is left out."""
    loop, lags = this_loop(), Histogram(LAGS_S)
    pulse = Pulse(loop, lags)
    pulse.start()
    await asyncio.sleep(1.05)
    assert sum(lags.counts) == lags.counts[0] == 10

    loop.now += 0.96  # held: 0.91, 0.81 ... 0.11 and 0.01 s late
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sum(lags.counts) == 20
    assert lags.total == pytest.approx(4.6, abs=0.02)

    await asyncio.sleep(1.0)
    assert sum(lags.counts) == 30
    assert lags.total == pytest.approx(4.6, abs=0.02)
    pulse.stop()
    assert timers(loop) == 0
