"""tickfan.fanout.pump: parked subscribers are served, one loop for all."""

from __future__ import annotations

import pytest

from tests.support.fanout import Fanout, bound_of, skips_time, timers
from tickfan.core import closing


@pytest.mark.parametrize("channel", ["quotes.a", "trades.a"])
@skips_time
async def test_no_progress_for_the_timeout_ends_a_client(channel: str) -> None:
    """Not before it, and slowness alone never does."""
    fanout = Fanout(stall_timeout_s=10.0)
    client = fanout.client("sse", "fast", channel)
    client.clog()
    for _ in range(98):
        fanout.publish(channel)
        await fanout.settle(0.1)
    assert client.is_alive
    await fanout.settle(0.5)
    assert client.reason is closing.STALLED
    bound = bound_of(client)
    assert (bound.name, bound.updates) == ("stall_timeout_s", 98 if channel == "trades.a" else 1)
    assert bound.size > 9_000, "with what the socket holds"


@skips_time
async def test_any_progress_starts_the_timeout_anew() -> None:
    """A client that takes one byte now and then is slow, not stalled."""
    fanout = Fanout(stall_timeout_s=10.0)
    client = fanout.client("sse", "fast", "quotes.a")
    client.clog()
    for _ in range(20):
        fanout.publish("quotes.a")
        await fanout.settle(9.0)
        client.pipe.read(1)
    assert client.reason is None
    client.pipe.become("fast")
    await fanout.settle()
    assert client.seqs("quotes.a") == [20]


@skips_time
async def test_one_timer_serves_all_and_ends_with_them() -> None:
    """However many are parked."""
    fanout = Fanout()
    clients = [fanout.client("sse", "fast", "trades.a") for _ in range(200)]
    for client in clients:
        client.clog()
    fanout.publish("trades.a")
    await fanout.settle()
    assert len(fanout.pump) == 200
    assert timers(fanout.loop) == 1
    for client in clients:
        client.pipe.become("fast")
    await fanout.settle()
    assert len(fanout.pump) == 0
    assert timers(fanout.loop) == 0


@skips_time
async def test_a_broken_parked_client_ends_alone() -> None:
    """Its connection is gone; the next one is served all the same."""
    fanout = Fanout()
    clients = [fanout.client("sse", "fast", "trades.a") for _ in range(9)]
    for client in clients:
        client.clog()
    sent = fanout.publish("trades.a")
    await fanout.settle()
    for index, client in enumerate(clients):
        client.pipe.become("broken" if index % 2 else "fast")
    await fanout.settle()
    for index, client in enumerate(clients):
        if index % 2:
            assert client.reason is closing.LOST
        else:
            assert client.seqs("trades.a") == [sent]
    assert len(fanout.pump) == 0


@skips_time
async def test_a_fault_of_ours_ends_one_client_and_is_reported() -> None:
    """The pump goes on for the others."""
    fanout = Fanout()
    bad, good = (fanout.client(wire, "fast", "trades.a") for wire in ("sse", "ndjson"))
    for client in (bad, good):
        client.clog()

    def fail() -> int:
        raise ZeroDivisionError

    sent = fanout.publish("trades.a")
    await fanout.settle()
    bad.pipe.get_write_buffer_size = fail  # type: ignore[method-assign]
    for client in (bad, good):
        client.pipe.become("fast")
    await fanout.settle()
    assert bad.reason is closing.INTERNAL
    assert good.seqs("trades.a") == [sent]
    failures = fanout.loop.failures  # type: ignore[attr-defined]
    assert [type(one["exception"]) for one in failures] == [ZeroDivisionError]
    failures.clear()


@skips_time
async def test_a_stalled_client_delays_nobody() -> None:
    """The others get every update in the turn in which it is flushed."""
    fanout = Fanout()
    stalled = fanout.client("sse", "fast", "trades.a")
    stalled.clog()
    fast = fanout.client("sse", "fast", "trades.a")
    for count in range(50):
        fanout.publish("trades.a")
        await fanout.turns()
        assert len(fast.seqs("trades.a")) == count + 1
        await fanout.settle(0.011)
    assert len(stalled.backlog.queue or ()) == 50


@skips_time
async def test_the_time_that_a_snapshot_takes_is_noted() -> None:
    """For who gets it; not that of what follows, nor for others."""
    fanout = Fanout()
    for number in range(200):
        fanout.publish(f"quotes.{number}", "x" * 2000)
    other = fanout.client("sse", "fast", "quotes.1")
    client = fanout.client("sse", "fast", "quotes.#")
    await fanout.settle()
    assert len(client.named("update")) == 200
    assert fanout.pump.spent_on(client.subscriber) > 0
    client.clog()
    fanout.publish("quotes.1", 1)
    await fanout.settle()
    client.pipe.become("fast")
    await fanout.settle()
    assert fanout.pump.spent_on(client.subscriber) == fanout.pump.spent_on(other.subscriber) == 0
