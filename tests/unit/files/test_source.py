"""Where rows come from: in order, none lost, and an error only after the rows before it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from loadtest.rig.waiting import DEADLINE_S
from tickfan.files.errors import ReplayError
from tickfan.files.source import AHEAD_MAX, TOGETHER_MAX, FromFile, FromPipe

Make = Callable[[Iterator[int]], FromFile[int] | FromPipe[int]]
BOTH = pytest.mark.parametrize("make", [FromFile, FromPipe])


async def rest(source: FromFile[int] | FromPipe[int]) -> list[list[int]]:
    chunks = []
    async with asyncio.timeout(DEADLINE_S):
        while some := await source.more():
            chunks.append(some)
        assert await source.more() == [], "the end is the end"
    return chunks


@BOTH
@pytest.mark.parametrize("count", [0, 1, TOGETHER_MAX, TOGETHER_MAX + 1, 3 * AHEAD_MAX + 7])
async def test_all_rows_in_order(make: Make, count: int) -> None:
    """A few at a time, to the end."""
    chunks = await rest(make(iter(range(count))))
    assert [row for some in chunks for row in some] == list(range(count))
    assert all(len(some) <= TOGETHER_MAX for some in chunks)


@BOTH
@pytest.mark.parametrize("good", [0, 3, TOGETHER_MAX])
async def test_an_error_comes_after_the_rows_before_it(make: Make, good: int) -> None:
    """What was read is sent, and then it stops."""

    def rows() -> Iterator[int]:
        yield from range(good)
        raise ReplayError("line 5")

    source = make(rows())
    got: list[int] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(got) < good:
            got += await source.more()
        with pytest.raises(ReplayError, match="line 5"):
            await source.more()
    assert got == list(range(good))


async def test_a_pipe_that_is_quiet_holds_nobody_up() -> None:
    """What has come is there at once; the loop goes on while nothing comes."""
    go_on = threading.Event()

    def rows() -> Iterator[int]:
        yield 1
        yield 2
        go_on.wait()
        yield 3

    source = FromPipe(rows())
    got: list[int] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(got) < 2:
            got += await source.more()
        waiting = asyncio.ensure_future(source.more())
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
        go_on.set()
        assert await waiting == [3]
        assert await source.more() == []
    assert got == [1, 2]


async def test_a_pipe_is_not_read_far_ahead() -> None:
    """Memory is bounded, however fast the other side writes."""
    taken = 0
    full = threading.Event()

    def rows() -> Iterator[int]:
        nonlocal taken
        for number in range(10 * AHEAD_MAX):
            taken = number
            if number == AHEAD_MAX:
                full.set()
            yield number

    source = FromPipe(rows())
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.to_thread(full.wait)
        assert taken <= AHEAD_MAX
        assert sum(map(len, await rest(source))) == 10 * AHEAD_MAX
