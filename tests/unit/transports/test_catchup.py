"""tickfan.transports.catchup: who is ahead of this replica waits for an event, and no longer."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.calls import calls_of
from tests.support.fanout import Fanout, skips_time, timers
from tickfan.core import closing
from tickfan.core.cursor import Place
from tickfan.core.feed import Upstream
from tickfan.core.feeds import Feeds
from tickfan.transports.catchup import BEHIND_S, caught_up

ABSENT = "A" * 11


class Waiting:
    """Those who wait for the same cursor."""

    def __init__(self, fanout: Fanout, count: int, **seqs: int) -> None:
        self.fanout = fanout
        self.is_draining = False
        places = {name: Place(seq, ABSENT) for name, seq in seqs.items()}
        self.tasks = [
            fanout.loop.create_task(
                caught_up(fanout.loop, fanout.feeds, places, lambda: self.is_draining)
            )
            for _ in range(count)
        ]

    @property
    def done(self) -> int:
        return sum(task.done() for task in self.tasks)

    @property
    def registered(self) -> int:
        """How often the feeds know of them."""
        return sum(len(feed.awaited) for feed in self.fanout.feeds.values())


@skips_time
async def test_many_who_wait_cost_nothing_until_it_is_their_turn() -> None:
    """A thousand updates come, and nobody looks; all look when the place is reached."""
    fanout = Fanout()
    waiting = Waiting(fanout, 100, trades=1_000 * 1024)
    with calls_of(Feeds.behind) as calls:
        await fanout.turns()
        assert (calls[Feeds.behind], waiting.registered) == (100, 100)
        for _ in range(1_000):
            fanout.publish("trades.a")
        await fanout.turns()
        assert (calls[Feeds.behind], waiting.done) == (100, 0)
        fanout.publish("trades.a")
        await fanout.turns()
        assert (calls[Feeds.behind], waiting.done) == (200, 100)
    assert [task.result() for task in waiting.tasks] == [None] * 100
    assert waiting.registered == 0


@skips_time
async def test_all_feeds_of_a_cursor_are_waited_for() -> None:
    """Each that is behind, in whatever order they get there."""
    fanout = Fanout()
    waiting = Waiting(fanout, 1, trades=0, book=1024)
    for name, is_enough in (("book.x", False), ("book.x", False), ("trades.a", True)):
        await fanout.turns()
        assert not waiting.done
        fanout.publish(name)
        await fanout.turns()
        assert waiting.done == is_enough
    assert waiting.registered == 0


@skips_time
async def test_a_wait_has_an_end() -> None:
    """Then its cursor is judged; no timer is left, and nobody is kept."""
    fanout = Fanout()
    began, before = fanout.loop.time(), timers(fanout.loop)
    waiting = Waiting(fanout, 3, trades=10**9)
    assert await asyncio.gather(*waiting.tasks) == [None] * 3
    assert fanout.loop.time() - began == pytest.approx(BEHIND_S)
    assert (waiting.registered, timers(fanout.loop)) == (0, before)


@pytest.mark.parametrize("what", ["stale", "draining", "lost"])
@skips_time
async def test_what_changes_ends_a_wait(what: str) -> None:
    """Its feed goes down, the replica drains, or its client goes."""
    fanout = Fanout()
    waiting = Waiting(fanout, 2, trades=10**9)
    await fanout.turns()
    if what == "stale":
        fanout.ingest.upstream("trades", Upstream.STALE, "gone")
    elif what == "draining":
        waiting.is_draining = True
        fanout.feeds["trades"].awaited.reach()
    else:
        for task in waiting.tasks:
            task.cancel()
    await fanout.turns()
    assert waiting.done == 2
    if what == "lost":
        assert all(task.cancelled() for task in waiting.tasks)
    else:
        reason = closing.STARTING if what == "stale" else closing.DRAIN
        assert [task.result() for task in waiting.tasks] == [reason] * 2
    assert waiting.registered == 0
