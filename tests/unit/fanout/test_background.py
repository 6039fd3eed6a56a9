"""service/tickfan/fanout/background.py: long work in small pieces, all of it in turns."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

import pytest

from tests.support.fanout import skips_time
from tickfan.fanout.background import Background
from tickfan.fanout.slices import Slices

if TYPE_CHECKING:
    from collections.abc import Iterator


def background() -> tuple[Background, Slices]:
    loop = asyncio.get_running_loop()
    slices = Slices(loop, perf_counter)
    return Background(loop, slices, perf_counter), slices


def work(seen: list[str], name: str, count: int) -> Iterator[None]:
    """Steps that each take some time."""
    for _ in range(count):
        end = perf_counter() + 0.0005
        while perf_counter() < end:
            pass
        seen.append(name)
        yield


@skips_time
async def test_all_work_is_done_in_turns() -> None:
    """What is short is not behind what is long; but the first of equals is done first."""
    done, _ = background()
    seen: list[str] = []
    long, short = done.run(work(seen, "long", 400)), done.run(work(seen, "short", 4))
    other = done.run(work(seen, "other", 4))
    await short
    assert not long.done()
    assert "other" not in seen
    await other
    await long
    assert seen.count("long") == 400
    assert seen.count("short") == 4
    assert len(done) == 0


@skips_time
async def test_jobs_come_between_the_pieces() -> None:
    """A job that comes while there is work waits for a piece of it, not for all."""
    done, slices = background()
    seen: list[str] = []
    work_done = done.run(work(seen, "step", 100))
    for _ in range(5):
        before = len(seen)
        await slices.run(lambda: seen.append("job"))
        assert len(seen) - before < 40
    await work_done
    assert seen.count("step") == 100


@skips_time
async def test_who_gives_up_takes_no_more_steps() -> None:
    """Nor does it keep the others from theirs."""
    done, _ = background()
    seen: list[str] = []
    given_up, other = done.run(work(seen, "given up", 40)), done.run(work(seen, "other", 10))
    await asyncio.sleep(0)
    given_up.cancel()
    await other
    assert seen.count("given up") < 40
    assert seen.count("other") == 10
    await asyncio.sleep(0.1)
    assert len(done) == 0


@skips_time
async def test_a_failure_reaches_who_waits() -> None:
    """And nobody else: the others' steps are still taken."""
    done, _ = background()

    def fails() -> Iterator[None]:
        yield
        raise ValueError("why")

    seen: list[str] = []
    failing, other = done.run(fails()), done.run(work(seen, "other", 5))
    with pytest.raises(ValueError, match="why"):
        await failing
    await other
    assert len(seen) == 5


@skips_time
async def test_a_stop_gives_up() -> None:
    """Whoever waits is told, and nothing more is done, until there is new work."""
    done, slices = background()
    seen: list[str] = []
    waiting = done.run(work(seen, "step", 40))
    await asyncio.sleep(0)
    done.stop()
    slices.stop()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    taken = len(seen)
    await asyncio.sleep(0.1)
    assert len(seen) == taken < 40


@skips_time
async def test_each_piece_is_charged_to_who_asked_for_it() -> None:
    """All of its time and none of the others'; also a piece that fails."""
    done, _ = background()
    seen: list[str] = []
    one: list[float] = []
    failing: list[float] = []

    def fails() -> Iterator[None]:
        yield from work(seen, "failing", 1)
        raise ZeroDivisionError

    await done.run(work(seen, "one", 10), one.append)
    assert sum(one) >= 10 * 0.0005
    assert len(one) > 1
    before = list(one)
    with pytest.raises(ZeroDivisionError):
        await done.run(fails(), failing.append)
    assert sum(failing) >= 0.0005
    assert one == before
