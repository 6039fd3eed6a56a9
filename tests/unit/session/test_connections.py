"""tickfan.session.connections: who is connected, and what all are told."""

from __future__ import annotations

from tests.support.fanout import Fanout, skips_time
from tickfan.core import closing
from tickfan.core.feed import Upstream


@skips_time
async def test_status_goes_to_the_feeds_subscribers_once_a_change() -> None:
    """Others hear nothing, and the same state said twice is one event."""
    fanout = Fanout()
    trades = fanout.client("sse", "fast", "trades.#")
    quotes = fanout.client("json", "fast", "quotes.#")
    for state in (Upstream.LIVE, Upstream.STALE, Upstream.STALE, Upstream.LIVE):
        fanout.ingest.upstream("trades", state, "why")
    await fanout.settle()
    assert [one["upstream"] for one in trades.named("status")] == ["stale", "live"]
    assert not quotes.named("status")


@skips_time
async def test_each_connection_has_a_name_of_its_own() -> None:
    """The process's, which no other has, and its number; also where others have left."""
    fanout = Fanout()
    first, second = fanout.client(), fanout.client("json")
    first.leave()
    third = fanout.client()
    names = [client.connection.id for client in (first, second, third)]
    assert names == ["epoch-1", "epoch-2", "epoch-3"]


@skips_time
async def test_a_broken_client_keeps_nobody_from_being_told() -> None:
    """A closed transport among many ends alone."""
    fanout = Fanout()
    clients = [fanout.client("sse", "fast", "trades.a", "quotes.a") for _ in range(30)]
    for client in clients[::3]:
        client.pipe.mode = "broken"
    fanout.ingest.upstream("trades", Upstream.STALE, "")
    await fanout.settle()
    for index, client in enumerate(clients):
        if index % 3:
            assert len(client.named("status")) == 1
            assert client.reason is None
        else:
            assert client.reason is closing.LOST


@skips_time
async def test_leaving_is_idempotent_and_counted_once() -> None:
    """The first reason counts, and nothing is written afterwards."""
    fanout = Fanout()
    client = fanout.client("sse", "fast", "trades.a", "quotes.a")
    writes = client.pipe.writes
    fanout.publish("trades.a")
    fanout.publish("quotes.a")
    client.leave()
    client.leave()
    fanout.ingest.upstream("trades", Upstream.STALE, "")
    await fanout.settle()
    assert client.pipe.writes == writes
    assert fanout.tally.closes == {("sse", "left"): 1}
    assert len(fanout.connections) == 0
