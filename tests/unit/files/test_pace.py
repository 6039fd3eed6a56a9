"""The pace: rows in order, none early, those together that are due, gaps cut where asked."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.rig.waiting import DEADLINE_S
from tests.support.updates import LAW
from tickfan.files.pace import NOTICE_S, Pace, Wait, run
from tickfan.files.reader import Row
from tickfan.files.source import FromFile

DAY_S = 86_400


def rows(*times: float) -> list[Row]:
    """Rows at so many seconds."""
    return [
        Row(number, number + 1, round(at * 1000), "trades.A", {"price": "1"})
        for number, at in enumerate(times, 1)
    ]


class Sent:
    """What was sent, when by the loop's clock, and the waits that were told of."""

    def __init__(self) -> None:
        self.chunks: list[tuple[float, list[int]]] = []
        self.waits: list[Wait] = []
        self._clock = asyncio.get_running_loop().time
        self._begin = self._clock()

    async def send(self, some: list[Row]) -> None:
        self.chunks.append((self._clock() - self._begin, [row.number for row in some]))

    async def go(self, some: list[Row], pace: Pace) -> bool:
        async with asyncio.timeout(DEADLINE_S):
            return await run(FromFile(iter(some)).more, self.send, pace, self.waits.append)

    @property
    def numbers(self) -> list[int]:
        return [number for _, some in self.chunks for number in some]


async def test_at_speed() -> None:
    """Rows leave at their own distances, so many times as fast, never early."""
    sent = Sent()
    assert await sent.go(rows(10, 10, 16, 22), Pace(speed=60))
    assert sent.numbers == [1, 2, 3, 4]
    due = {1: 0.0, 2: 0.0, 3: 0.1, 4: 0.2}
    assert all(at >= due[number] for at, some in sent.chunks for number in some)
    assert sent.chunks[0][1][:2] == [1, 2], "what is due at once goes together"


async def test_asap() -> None:
    """Times set no pace, and their order does not matter."""
    sent = Sent()
    assert await sent.go(rows(5, 9 * DAY_S, 1), Pace(speed=0))
    assert [some for _, some in sent.chunks] == [[1, 2, 3]]


async def test_gaps_are_cut() -> None:
    """A night is as long as --max-gap says; what is shorter stays."""
    sent = Sent()
    times = (0, 0.05, DAY_S, DAY_S + 0.05, 2 * DAY_S)
    assert await sent.go(rows(*times), Pace(max_gap_s=0.1))
    assert sent.numbers == [1, 2, 3, 4, 5]
    due = {1: 0.0, 2: 0.05, 3: 0.15, 4: 0.2, 5: 0.3}
    assert all(at >= due[number] - 1e-6 for at, some in sent.chunks for number in some)
    assert sent.waits == []


async def test_a_gap_is_cut_once() -> None:
    """What was as late as the row behind the gap goes with it."""
    sent = Sent()
    assert await sent.go(rows(0, DAY_S, DAY_S, DAY_S), Pace(max_gap_s=0.05))
    assert sent.numbers == [1, 2, 3, 4]
    assert sent.chunks[-1][1][-3:] == [2, 3, 4]


async def test_a_long_wait_is_told() -> None:
    """Of daily rows at their own speed one hears when the next is due."""
    sent = Sent()
    going = asyncio.ensure_future(sent.go(rows(0, DAY_S), Pace()))
    async with asyncio.timeout(DEADLINE_S):
        while not sent.waits:  # noqa: ASYNC110 - nobody says when it was told
            await asyncio.sleep(0)
    going.cancel()
    (wait,) = sent.waits
    assert wait.row.number == 2
    assert NOTICE_S < DAY_S - DEADLINE_S < wait.seconds <= DAY_S
    assert sent.numbers == [1], "what was due has gone before the wait"


@pytest.mark.parametrize(
    ("pace", "numbers"),
    [
        (Pace(speed=0, count=2), [1, 2]),
        (Pace(speed=0, count=3), [1, 2, 3]),
        (Pace(speed=1, seconds=1), [1]),
        (Pace(speed=0, seconds=0), []),
    ],
)
async def test_limits(pace: Pace, numbers: list[int]) -> None:
    """A count and a time end it early, which is told."""
    sent = Sent()
    assert not await sent.go(rows(0, DAY_S, 2 * DAY_S), pace)
    assert sent.numbers == numbers


@LAW
@given(
    times=st.lists(st.integers(0, 10), max_size=30),
    pace=st.builds(
        Pace,
        speed=st.sampled_from([0, 1e6]),
        count=st.none() | st.integers(1, 40),
        max_gap_s=st.none() | st.just(0.0),
    ),
)
def test_every_row_once_and_in_order(times: list[int], pace: Pace) -> None:
    """Whatever the times are, and however many are asked for."""

    async def go() -> tuple[bool, list[int]]:
        sent = Sent()
        return await sent.go(rows(*times), pace), sent.numbers

    is_done, numbers = asyncio.run(go())
    count = len(times) if pace.count is None else min(pace.count, len(times))
    assert numbers == list(range(1, count + 1))
    assert is_done == (pace.count is None or pace.count > len(times))
