"""tickfan.session.keepalive: heartbeats and pings, from one timer for everybody."""

from __future__ import annotations

import pytest

from tests.support.fanout import WIRES, Client, Fanout, bound_of, skips_time, timers
from tickfan.core import closing
from tickfan.core.feed import Upstream
from tickfan.session.keepalive import BEAT_S, Keepalive, Times

TIMES = Times(heartbeat_s=15.0, ping_s=30.0, pong_timeout_s=10.0)


def beating(fanout: Fanout, bytes_max: int = 0) -> Keepalive:
    keepalive = Keepalive(fanout.loop, fanout.connections, fanout.clock, TIMES, bytes_max)
    keepalive.start()
    return keepalive


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_a_quiet_connection_hears_from_us(wire: str) -> None:
    """heartbeat_s after the last write; with the state of its feeds and its cursor."""
    fanout = Fanout()
    keepalive = beating(fanout)
    client = fanout.client(wire, "fast", "trades.a", "quotes.a")
    fanout.ingest.upstream("quotes", Upstream.STALE, "")
    await fanout.settle(14.5)
    assert not client.named("heartbeat")
    await fanout.settle(2.0)
    (heartbeat,) = client.named("heartbeat")
    assert heartbeat["upstream"] == {"quotes": "stale", "trades": "live"}
    assert heartbeat["cursor"] == client.connection.subscriber.cursor
    assert heartbeat["server_time"] > 0
    keepalive.stop()


@skips_time
async def test_a_busy_connection_needs_no_heartbeat() -> None:
    """Anything written counts, also by the pump."""
    fanout = Fanout()
    keepalive = beating(fanout)
    clients = [fanout.client("sse", mode, "trades.a") for mode in ("fast", "lazy")]
    for _ in range(10):
        await fanout.settle(10.0)
        fanout.publish("trades.a")
    assert not any(client.named("heartbeat") for client in clients)
    keepalive.stop()


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_the_cursor_of_a_quiet_channel_moves_on(wire: str) -> None:
    """Its heartbeat's cursor resumes though all that it had seen was evicted."""
    fanout = Fanout()
    keepalive = beating(fanout)
    client = fanout.client(wire, "fast", "trades.quiet")
    for _ in range(50):
        fanout.publish("trades.busy")
    await fanout.settle(20.0)
    assert fanout.feeds["trades"].place in str(client.cursor)
    missed = fanout.publish("trades.quiet")
    again = fanout.client(wire)
    again.subscribe("trades.quiet", cursor=client.cursor)
    await fanout.settle()
    assert again.seqs("trades.quiet") == [missed]
    keepalive.stop()


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_a_heartbeat_never_turns_the_cursor_back(wire: str) -> None:
    """One that found a full transport comes before what is published later."""
    fanout = Fanout()
    keepalive = beating(fanout)
    client = fanout.client(wire, "fast", "trades.a")
    sent = [fanout.publish("trades.a")]
    await fanout.settle()
    client.pipe.become("stalled")
    sent.append(fanout.publish("trades.a", "x" * 9_000))
    await fanout.settle(20.0)
    client.pipe.become("fast")
    # No look of the pump in between: straight on, as a busy feed would.
    sent += [fanout.publish("trades.a") for _ in range(3)]
    await fanout.settle()
    client.clog()
    sent.append(fanout.publish("trades.a"))
    await fanout.settle()
    client.pipe.become("fast")
    await fanout.settle()
    assert client.named("heartbeat")
    assert client.seqs("trades.a") == sent
    seen = 0
    for event in client.events:
        if event["event"] == "update":
            seen = event["seq"]
        if "cursor" not in event or event["event"] == "snapshot_end":
            continue
        again = fanout.client("json")
        again.subscribe("trades.a", cursor=event["cursor"])
        await fanout.settle()
        assert again.seqs("trades.a") == [seq for seq in sent if seq > seen], event["event"]
        again.leave()
    keepalive.stop()


@pytest.mark.parametrize("is_first", [True, False])
@skips_time
async def test_who_waits_to_resume_hears_its_own_cursor(*, is_first: bool) -> None:
    """Not that of a neighbour in its audience who is quiet in the same beat."""
    fanout = Fanout(replays_max=0)  # its turn never comes
    keepalive = beating(fanout)
    early = fanout.client("json", "fast", "trades.a")
    fanout.publish("trades.a")
    await fanout.settle()
    early.leave()
    waits, shares = [fanout.client("json") for _ in range(2)][:: 1 if is_first else -1]
    waits.subscribe("trades.a", cursor=early.events[1]["cursor"])
    shares.subscribe("trades.a")
    await fanout.settle(16.5)
    assert not waits.named("update"), "it should be waiting"
    heard = [client.named("heartbeat")[0]["cursor"] for client in (waits, shares)]
    assert heard == [early.events[1]["cursor"], early.cursor]
    assert heard[0] != heard[1]
    keepalive.stop()


@skips_time
async def test_a_heartbeat_tells_the_state_of_its_own_beat() -> None:
    """Not that of the beat before: an outage is heard of, and its end."""
    fanout = Fanout()
    keepalive = beating(fanout)
    client = fanout.client("sse", "fast", "quotes.a")
    for state in (Upstream.LIVE, Upstream.STALE, Upstream.LIVE):
        fanout.ingest.upstream("quotes", state, "")
        await fanout.settle(16.5)
    heard = [one["upstream"]["quotes"] for one in client.named("heartbeat")]
    assert heard == ["live", "stale", "live"]
    keepalive.stop()


def pings(client: Client) -> int:
    return len(client.named("ping"))


@skips_time
async def test_a_websocket_is_pinged_and_must_answer() -> None:
    """Every ping_s; without a word for pong_timeout_s it ends."""
    fanout = Fanout()
    keepalive = beating(fanout)
    client = fanout.client("msgpack", "fast", "quotes.a")
    stream = fanout.client("sse", "fast", "quotes.a")
    await fanout.settle(31.5)
    assert pings(client) == 1
    client.connection.heard_at = fanout.loop.time()
    await fanout.settle(31.5)
    assert pings(client) == 2
    assert client.is_alive
    await fanout.settle(12.0)
    assert client.reason is closing.NO_PONG
    assert bound_of(client) == ("pong_timeout_s", 0, 0)
    assert stream.reason is None
    keepalive.stop()


@skips_time
async def test_a_slow_websocket_is_not_asked_for_what_it_cannot_see() -> None:
    """The pong to a ping behind unread bytes cannot come: only stalling ends it."""
    fanout = Fanout(stall_timeout_s=60.0)
    keepalive = beating(fanout)
    client = fanout.client("msgpack", "fast", "quotes.a")
    await fanout.settle(25.0)
    client.clog()
    for _ in range(10):
        fanout.publish("quotes.a")
        await fanout.settle(12.0)
        client.pipe.read(100)  # slow, yet making progress
    assert client.is_alive
    client.pipe.become("fast")
    await fanout.settle(3.0)
    assert client.seqs("quotes.a") == [10]
    client.connection.heard_at = fanout.loop.time()
    await fanout.settle(8.0)
    assert client.is_alive
    client.clog()
    fanout.publish("quotes.a")
    await fanout.settle(70.0)
    assert client.reason is closing.STALLED
    keepalive.stop()


@skips_time
async def test_the_time_to_answer_a_ping_begins_anew_when_a_socket_drains() -> None:
    """The ping lay behind what the client had not read: it has not seen it for longer."""
    fanout = Fanout()
    keepalive = beating(fanout)
    client = fanout.client("msgpack", "fast", "quotes.a")
    await fanout.settle(31.5)
    assert pings(client) == 1
    client.clog()
    fanout.publish("quotes.a")
    await fanout.settle(20.0)
    client.pipe.become("fast")
    await fanout.settle(5.0)
    assert client.is_alive
    await fanout.settle(7.0)
    assert client.reason is closing.NO_PONG
    keepalive.stop()


@skips_time
async def test_one_timer_whoever_is_connected() -> None:
    """The beat; and none after stop."""
    fanout = Fanout()
    keepalive = beating(fanout)
    clients = [fanout.client("sse", "fast", "trades.a") for _ in range(300)]
    await fanout.settle(BEAT_S)
    assert timers(fanout.loop) == 1
    await fanout.settle(20.0)
    assert all(len(client.named("heartbeat")) == 1 for client in clients)
    keepalive.stop()
    assert timers(fanout.loop) == 0


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_who_has_been_sent_too_much_comes_back_later(wire: str) -> None:
    """With its cursor; who has been sent less goes on."""
    fanout = Fanout()
    keepalive = beating(fanout, bytes_max=20_000)
    much, little = fanout.client(wire, "fast", "trades.a"), fanout.client(wire, "fast", "trades.b")
    for _ in range(30):
        fanout.publish("trades.a", "x" * 1000)
        await fanout.settle(0.1)
    await fanout.settle(2 * BEAT_S)
    assert much.reason is closing.THROTTLED
    assert bound_of(much).name == "bytes_per_connection_max"
    assert little.reason is None
    keepalive.stop()
