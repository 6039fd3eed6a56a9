"""An outage of the broker as clients see it: status, and what is still to be believed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tickfan.clock import now_ms
from tickfan.core.feed import Upstream
from tickfan.wire import events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fixtures import MakeLive
    from tests.support.live import Live, Reader

WIRES = ["sse", "ws", "ndjson"]
SINCE_MS = 1_700_000_000_000


def _play(service: Live, state: Upstream, feed: str = "quotes", since_ms: int = SINCE_MS) -> None:
    """What the broker says of a feed's source, as it says it."""
    service.hub.upstream(service.service.feeds[feed], state, "played", since_ms)


@asynccontextmanager
async def _reading(service: Live, wire: str, channel: str) -> AsyncIterator[Reader]:
    """A subscriber that has read its ``snapshot_end``."""
    if wire == "ws":
        async with service.ws() as talk:
            await talk.say(op="subscribe", channels=[channel])
            await talk.read_until("snapshot_end")
            yield talk
        return
    open_stream = {"sse": service.sse, "ndjson": service.ndjson}[wire]
    async with open_stream(f"channels={channel}") as reader:
        await reader.read_until("snapshot_end")
        yield reader


async def _status(reader: Reader) -> dict[str, Any]:
    """The next status event's fields."""
    event = (await reader.read_until("status"))[-1]
    return {name: event[name] for name in event if name not in ("event", "t", "cursor")}


async def _snapshot(service: Live, pattern: str) -> str:
    """What ``subscribed`` says of the snapshot that a newcomer gets."""
    async with service.sse(f"channels={pattern}") as events:
        granted = await events.next()
        await events.read_until("snapshot_end")
    said = granted["channels"][0]["snapshot"]
    assert isinstance(said, str)
    return said


async def _is_unconfirmed(service: Live, channel: str) -> bool:
    """What ``GET /v1/channels/{channel}`` says of its value."""
    async with service.session.get(service.url(f"/v1/channels/{channel}")) as answer:
        assert answer.status == 200
        value = await answer.json()
    assert value.get("unconfirmed") in (None, True), "it is there or it is not"
    return "unconfirmed" in value


@pytest.mark.parametrize("wire", WIRES)
async def test_status_says_what_is_known(service: Live, wire: str) -> None:
    """The state, since when, when the last message came, how many values are in doubt."""
    begin_ms = now_ms()
    await service.publish("quotes.A", 1)
    await service.publish("quotes.B", 1)
    heard = service.service.feeds["quotes"].heard_ms
    assert begin_ms <= heard <= now_ms()
    async with _reading(service, wire, "quotes.A") as reader:
        _play(service, Upstream.STALE)
        stale = {"feed": "quotes", "upstream": "stale", "since": SINCE_MS, "heard": heard}
        assert await _status(reader) == {**stale, "unconfirmed": 2}
        _play(service, Upstream.LIVE, since_ms=SINCE_MS + 5000)
        live = {"feed": "quotes", "upstream": "live", "since": SINCE_MS + 5000, "heard": heard}
        assert await _status(reader) == {**live, "unconfirmed": 2}
        # The outage is over; what has not changed since is still in doubt.
        await service.publish("quotes.A", 2)
        (update,) = await reader.updates(1)
        assert update["data"] == 2
        _play(service, Upstream.STALE)
        assert (await _status(reader))["unconfirmed"] == 2, "an outage doubts everything anew"


@pytest.mark.parametrize("wire", WIRES)
async def test_a_state_is_told_once(service: Live, wire: str) -> None:
    """A broker that says the same again and again does not make a client's page blink."""
    async with _reading(service, wire, "quotes.A") as reader:
        for since_ms in (1, 2, 3):
            _play(service, Upstream.STALE, since_ms=since_ms)
        _play(service, Upstream.LIVE, since_ms=4)
        told = [await _status(reader), await _status(reader)]
    assert [(one["upstream"], one["since"]) for one in told] == [("stale", 1), ("live", 4)]
    assert [one["heard"] for one in told] == [None, None], "no message came yet"


async def test_only_subscribers_of_the_feed_are_told(service: Live) -> None:
    """Trouble of one feed is none of the others'."""
    async with service.sse("channels=trades.X") as events:
        await events.read_until("snapshot_end")
        _play(service, Upstream.STALE, "quotes")
        _play(service, Upstream.STALE, "trades")
        assert (await _status(events))["feed"] == "trades"


async def test_a_value_is_unconfirmed_from_the_outage_to_its_next_update(service: Live) -> None:
    """Channel by channel: neither the end of the outage nor another's update confirms it."""
    await service.publish("quotes.A", 1)
    await service.publish("quotes.B", 1)

    async def said() -> tuple[list[str], list[bool]]:
        patterns = ("quotes.A", "quotes.B", "quotes.%23")
        return (
            [await _snapshot(service, pattern) for pattern in patterns],
            [await _is_unconfirmed(service, name) for name in ("quotes.A", "quotes.B")],
        )

    assert await said() == (["latest"] * 3, [False, False])
    _play(service, Upstream.STALE)
    assert await said() == (["unconfirmed"] * 3, [True, True])
    _play(service, Upstream.LIVE)
    assert await said() == (["unconfirmed"] * 3, [True, True])
    await service.publish("quotes.A", 1)  # the same value again is news, too
    assert await said() == (["latest", "unconfirmed", "unconfirmed"], [False, True])
    await service.publish("quotes.B", 2)
    assert await said() == (["latest"] * 3, [False, False])


async def test_the_count_goes_down_as_values_come(service: Live) -> None:
    """What status counts is what GET says, after each update."""
    names = [f"quotes.{letter}" for letter in "ABCD"]
    for name in names:
        await service.publish(name, 1)
    feed = service.service.feeds["quotes"]
    assert "unconfirmed" not in events.status(feed), "there was no outage yet"
    _play(service, Upstream.STALE)
    _play(service, Upstream.LIVE)
    for number, name in enumerate(names):
        await service.publish(name, 2)
        left = [other for other in names if await _is_unconfirmed(service, other)]
        assert left == names[number + 1 :]
        assert events.status(feed)["unconfirmed"] == len(left)


async def test_a_value_that_comes_before_the_source_is_live_is_confirmed(service: Live) -> None:
    """What was received after the link was lost is not what was lost with it."""
    await service.publish("quotes.A", 1)
    _play(service, Upstream.STALE)
    await service.publish("quotes.A", 2)
    assert not await _is_unconfirmed(service, "quotes.A")
    _play(service, Upstream.LIVE)
    assert not await _is_unconfirmed(service, "quotes.A")
    assert await _snapshot(service, "quotes.A") == "latest"


async def test_a_channel_without_a_value_has_nothing_to_confirm(service: Live) -> None:
    """``none`` stays ``none``; what is new after the outage is not in doubt."""
    await service.publish("quotes.A", 1)
    _play(service, Upstream.STALE)
    assert await _snapshot(service, "quotes.NEW") == "none"
    _play(service, Upstream.LIVE)
    await service.publish("quotes.NEW", 1)
    assert await _snapshot(service, "quotes.NEW") == "latest"
    assert not await _is_unconfirmed(service, "quotes.NEW")


async def test_who_wants_no_snapshot_is_told_of_none(service: Live) -> None:
    """``snapshot=0`` says what is sent, not what could be."""
    await service.publish("quotes.A", 1)
    _play(service, Upstream.STALE)
    async with service.sse("channels=quotes.A&snapshot=0") as events:
        assert (await events.next())["channels"][0]["snapshot"] == "none"


async def test_a_lossless_feed_has_no_unconfirmed_values(service: Live) -> None:
    """It is continued where it was: nothing on it is in doubt, only late."""
    await service.publish("trades.A", 1)
    async with service.sse("channels=trades.A") as events:
        await events.read_until("snapshot_end")
        _play(service, Upstream.STALE, "trades")
        told = await _status(events)
        heard = service.service.feeds["trades"].heard_ms
        assert heard
        assert told == {"feed": "trades", "upstream": "stale", "since": SINCE_MS, "heard": heard}
        assert not await _is_unconfirmed(service, "trades.A")
        _play(service, Upstream.LIVE, "trades")
        await service.publish("trades.A", 2)
        (update,) = await events.updates(1)
        assert update["data"] == 2
        assert update["prev"] is not None, "the chain goes on through the outage"


async def test_a_newcomer_in_the_outage_hears_of_it_at_once(service: Live) -> None:
    """``subscribed`` says stale; the stream is open and goes on when the source does."""
    await service.publish("quotes.A", 1)
    _play(service, Upstream.STALE)
    async with service.sse("channels=quotes.A") as events:
        opening = await events.read_until("snapshot_end")
        assert opening[0]["channels"][0]["upstream"] == "stale"
        assert [event["data"] for event in opening if "snapshot" in event] == [1]
        _play(service, Upstream.LIVE)
        assert (await _status(events))["upstream"] == "live"


@pytest.mark.parametrize(("why", "is_unconfirmed"), [("", False), ("its stream is gone", True)])
async def test_a_warm_feed_has_read_the_outage_back(
    make_live: MakeLive, why: str, is_unconfirmed: bool
) -> None:
    """Then a value that did not change is no longer in doubt; if it could not, it is."""
    warm = '[{"name": "quotes", "bind": ["quotes.#"], "delivery": "conflated", "warm": "1m"}]'
    service = await make_live(FEEDS=warm)
    await service.publish("quotes.A", {"bid": "1"})
    feed = service.service.feeds["quotes"]
    service.hub.upstream(feed, Upstream.STALE, "cut", SINCE_MS)
    assert await _is_unconfirmed(service, "quotes.A")
    service.hub.upstream(feed, Upstream.LIVE, why, SINCE_MS + 1)
    assert await _is_unconfirmed(service, "quotes.A") is is_unconfirmed
