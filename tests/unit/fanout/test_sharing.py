"""tickfan.fanout.sharing: one frame to all, and who needs more than that."""

from __future__ import annotations

from tests.support.fanout import Client, Fanout, skips_time
from tickfan.fanout.sharing import write_to


def crowd(fanout: Fanout) -> list[Client]:
    """Members of one audience: two that read, one that is gone, one that is full, one aside."""
    clients = [fanout.client("json", "fast", "trades.a") for _ in range(5)]
    clients[2].pipe.become("broken")
    clients[3].clog()
    clients[4].clog()
    clients[4].subscriber.step_aside()
    return clients


@skips_time
async def test_each_member_gets_the_frame_or_is_named() -> None:
    """The same bytes; a member off the shared path is left alone."""
    fanout = Fanout()
    first, second, broken, clogged, parked = crowd(fanout)
    frame = first.format.event("news", {})
    members = [each.subscriber for each in (first, broken, clogged, second, parked)]
    written = write_to(members, frame, 3, fanout.loop.time(), fanout.tally.first_update)
    assert written == (2, [parked.subscriber], [clogged.subscriber], [broken.subscriber])
    assert [len(each.named("news")) for each in (first, second, clogged, parked)] == [1, 1, 0, 0]


@skips_time
async def test_what_is_written_counts_for_each() -> None:
    """Updates, the time of the write, and once the wait for the first."""
    fanout = Fanout()
    first, *_ = crowd(fanout)
    firsts = fanout.tally.first_update
    await fanout.settle(3)
    for _ in range(2):
        frame = first.format.event("news", {})
        write_to([first.subscriber], frame, 3, fanout.loop.time(), firsts)
    assert first.subscriber.updates == 6
    assert first.subscriber.written_at == fanout.loop.time()
    assert sum(firsts.counts) == 1


@skips_time
async def test_half_a_frame_is_followed_by_the_rest() -> None:
    """The kernel takes what it has room for; the client gets all of it, once."""
    fanout = Fanout()
    lazy = fanout.client("json", "lazy", "trades.a")
    await fanout.settle()
    frame = lazy.format.event("news", {"x": "y" * 1000})
    assert write_to([lazy.subscriber], frame, 1, 0.0, fanout.tally.first_update)[0] == 1
    await fanout.settle()
    assert len(lazy.named("news")) == 1
