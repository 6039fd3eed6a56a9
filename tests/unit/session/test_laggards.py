"""tickfan.session.laggards: who does not keep up is named, while it is connected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tests.support.fanout import Client, Fanout, skips_time
from tickfan.session.keepalive import Keepalive, Times
from tickfan.session.laggards import BEHIND_S, NAMED_MAX, Laggards

if TYPE_CHECKING:
    from collections.abc import Sequence

    from structlog.typing import EventDict


def named(logs: Sequence[EventDict]) -> list[Any]:
    return [line["connection"] for line in logs if line["event"] == "a client does not keep up"]


def look(laggards: Laggards, clients: Sequence[Client], *times: float) -> None:
    for now in times:
        for client in clients:
            laggards.look(client.connection, now)


@pytest.mark.parametrize("channel", ["quotes.a", "trades.a"])
@skips_time
async def test_a_client_that_does_not_read_is_named_once(channel: str) -> None:
    """With its address, what it asked for and what waits; again only when it had kept up."""
    fanout = Fanout()
    keepalive = Keepalive(fanout.loop, fanout.connections, fanout.clock, Times(15, 30, 10))
    keepalive.start()
    fanout.client("sse", "fast", channel)
    client = fanout.client("ndjson", "fast", channel)
    with capture_logs() as logs:
        client.clog()
        for _ in range(5):
            fanout.publish(channel)
        await fanout.settle(BEHIND_S)
        assert logs == []
        await fanout.settle(30)
        (line,) = logs
        client.pipe.become("fast")
        await fanout.settle(5)
        client.clog()
        await fanout.settle(BEHIND_S + 2)
    assert (line["connection"], line["patterns"], line["transport"]) == (
        client.connection.id, [channel], "ndjson",
    )  # fmt: skip
    assert line["waiting_updates"] == (5 if channel == "trades.a" else 1)
    assert line["waiting_bytes"] > 9_000
    assert BEHIND_S <= line["behind_s"] <= BEHIND_S + 1
    assert named(logs) == [client.connection.id] * 2
    keepalive.stop()


@skips_time
async def test_who_keeps_up_now_and_then_is_not_named() -> None:
    """A moment in which all was taken starts the time anew."""
    client = Fanout().client("sse", "fast", "quotes.a")
    laggards = Laggards()
    with capture_logs() as logs:
        for second in range(60):
            if second % 9:
                client.clog()
            else:
                client.pipe.become("fast")
            look(laggards, [client], second)
    assert logs == []


@skips_time
async def test_a_network_that_fails_is_no_flood_of_lines() -> None:
    """Some are named, and the number of the others is told."""
    fanout = Fanout()
    clients = [fanout.client("sse", "fast", "quotes.a") for _ in range(NAMED_MAX + 30)]
    for client in clients:
        client.clog()
    laggards = Laggards()
    with capture_logs() as logs:
        look(laggards, clients, 0, BEHIND_S)
        assert named(logs) == [client.connection.id for client in clients[:NAMED_MAX]]
        late = fanout.client("sse", "fast", "quotes.a")
        late.clog()
        look(laggards, [late], BEHIND_S, 2 * BEHIND_S)
    assert [line["clients"] for line in logs if "clients" in line] == [30]
    assert named(logs)[-1] == late.connection.id
