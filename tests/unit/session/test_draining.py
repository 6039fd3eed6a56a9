"""tickfan.session.draining: who is told to go, when, and that it can be taken back."""

from __future__ import annotations

from tests.support.fanout import Fanout, skips_time
from tickfan.core import closing
from tickfan.session.draining import Draining


def _draining(fanout: Fanout, delay_s: float = 2, spread_s: float = 10) -> Draining:
    return Draining(
        fanout.connections, fanout.clock, fanout.feeds.wake, delay_s=delay_s, spread_s=spread_s
    )


@skips_time
async def test_by_hand_clients_are_told_after_the_delay_and_over_the_spread() -> None:
    """Newcomers are turned away at once; asked twice, it is one drain."""
    fanout = Fanout()
    clients = [fanout.client() for _ in range(10)]
    draining = _draining(fanout)
    draining.begin()
    draining.begin()
    assert draining.is_on
    await fanout.settle(1.9)
    assert not any(client.reason for client in clients)
    await fanout.settle(5)
    gone = [client for client in clients if client.reason is closing.DRAIN]
    assert len(gone) == 5
    await fanout.settle(5)
    assert all(client.reason is closing.DRAIN for client in clients)


@skips_time
async def test_it_can_be_taken_back() -> None:
    """Nobody else is told to go, and newcomers come in."""
    fanout = Fanout()
    clients = [fanout.client() for _ in range(10)]
    draining = _draining(fanout, delay_s=0)
    draining.begin()
    await fanout.settle(4.5)
    assert draining.take_back()
    assert not draining.is_on
    await fanout.settle(20)
    assert sum(client.reason is None for client in clients) == 5


@skips_time
async def test_the_end_of_the_process_cannot_be_taken_back() -> None:
    """SIGTERM has come: the rest goes its way."""
    fanout = Fanout()
    draining = _draining(fanout)
    draining.begin()
    draining.refuse_new()
    assert not draining.take_back()
    assert draining.is_on
