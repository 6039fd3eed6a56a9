"""tickfan.session.connections: who is connected, and what all are told."""

from __future__ import annotations

import gc
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from tests.support.fanout import Fanout, skips_time
from tickfan.core import closing
from tickfan.core.feed import Upstream
from tickfan.session.grants import PATTERNS_KEPT

if TYPE_CHECKING:
    from tests.support.fanout import Client


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


NAMES = 500
"""As many as a connection may have, by default."""


def names_of(who: int, feeds: tuple[str, ...]) -> list[str]:
    """Names that nobody else has."""
    return [f"{feeds[n % len(feeds)]}.client{who:02}.name{n:03}" for n in range(NAMES)]


async def idle(fanout: Fanout, wire: str, names: list[str]) -> Client:
    """A client that has read its answer, and hears nothing more."""
    client = fanout.client(wire, "fast", *names)
    await fanout.settle()
    assert not client.is_parked
    client.pipe.received.clear()
    return client


@pytest.mark.parametrize(
    ("wire", "feeds", "are_there"),
    [
        ("sse", ("quotes",), False),
        ("msgpack", ("trades",), False),
        ("sse", ("quotes", "trades", "book"), False),
        ("msgpack", ("quotes",), True),
        ("sse", ("trades",), True),
        ("msgpack", ("quotes", "trades", "book"), True),
    ],
)
@skips_time
async def test_an_idle_client_of_many_names_costs_little_and_gives_it_back(
    wire: str, feeds: tuple[str, ...], are_there: bool
) -> None:
    """Under 100 KB, whether their channels are there or not; what is remembered is bounded."""
    clients, strangers = 8, PATTERNS_KEPT // NAMES + 1
    fanout = Fanout()
    if are_there:
        for who in range(strangers + clients):
            for name in names_of(who, feeds):
                fanout.publish(name)
        (await idle(fanout, wire, ["#"])).leave()  # all is encoded
    tracemalloc.start()
    try:
        began = tracemalloc.get_traced_memory()[0]
        for who in range(strangers):
            (await idle(fanout, wire, names_of(who, feeds))).leave()
        gc.collect()
        remembered = tracemalloc.get_traced_memory()[0] - began
        here = [
            await idle(fanout, wire, names_of(who, feeds))
            for who in range(strangers, strangers + clients)
        ]
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] - began
        while here:
            here.pop().leave()
        await fanout.settle()
        gc.collect()
        left = tracemalloc.get_traced_memory()[0] - began
    finally:
        tracemalloc.stop()
    assert 20_000 < (held - left) / clients < 95_000
    assert left < 1_000 * PATTERNS_KEPT
    # What is remembered are as many patterns as before, but its dicts grow and shrink.
    assert left - remembered < (held - left) / 2


@skips_time
async def test_those_that_are_meant_are_ended_and_counted() -> None:
    """Each once, also if another walk has begun already; the others miss nothing."""
    fanout = Fanout()
    clients = [fanout.client("sse", "fast", "trades.a") for _ in range(450)]
    meant = {client.connection for client in clients[::3]}
    walks = [fanout.connections.end_those(meant.__contains__, closing.FORBIDDEN) for _ in "ab"]
    fanout.publish("trades.a")
    await fanout.settle()
    assert [walk.result() for walk in walks] == [150, 0]
    for index, client in enumerate(clients):
        if index % 3:
            assert client.reason is None
            assert len(client.named("update")) == 1
        else:
            assert client.reason is closing.FORBIDDEN


@skips_time
async def test_a_connections_number_is_in_its_name() -> None:
    """A list of connections goes on behind it."""
    fanout = Fanout()
    assert [fanout.client().connection.number for _ in "ab"] == [1, 2]
