"""The SSE door, through real sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest

from loadtest.rig.waiting import until
from tests.support.live import Events
from tests.support.raw import chunks, connect, events, request

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live


async def test_first_comes_what_was_granted_then_snapshots_then_live(service: Live) -> None:
    """subscribed (with retry), the latest values, snapshot_end, then live updates."""
    await service.publish("quotes.A", {"bid": "1"})

    async with service.sse("channels=quotes.*") as stream:
        opening = await stream.read_until("snapshot_end")
        await service.publish("quotes.A", {"bid": "2"})
        update = await stream.next()

    assert [event["event"] for event in opening] == ["subscribed", "update", "snapshot_end"]
    assert 1000 <= int(opening[0]["retry"]) <= 3000
    assert opening[0]["channels"][0]["snapshot"] == "latest"
    assert opening[1]["data"] == {"bid": "1"}
    assert opening[1]["snapshot"] is True
    assert update["data"] == {"bid": "2"}
    assert "snapshot" not in update


async def test_the_headers_keep_proxies_and_caches_out_of_the_way(service: Live) -> None:
    """Nothing on the way may keep, change, buffer or compress the stream, or use it again."""
    query = "/v1/sse?channels=quotes.A"
    async with connect(service, request(query, Accept_Encoding="gzip, deflate, br")) as wire:
        status, headers = await wire.head()

    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-store, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["keep-alive"] == "timeout=1"
    assert "connection" not in headers  # see test_streams.py: Node's fetch would miss a cut
    assert headers["transfer-encoding"] == "chunked"
    assert "content-encoding" not in headers
    assert "content-length" not in headers


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_framing_follows_the_http_version_of_the_request(service: Live, version: str) -> None:
    """Every byte is in its place: chunks for HTTP/1.1, none for 1.0 (nginx's default)."""
    query = "/v1/sse?channels=tokens.A&until=done"
    async with connect(service, request(query, version=version)) as wire:
        _, headers = await wire.head()
        opening = await wire.up_to(b"snapshot_end")
        for number in range(20):
            await service.publish("tokens.A", "x" * number * 50)
        await service.publish("tokens.A", None, type="done")
        body = opening + await wire.rest()

    if version == "1.1":
        body = b"".join(chunks(body))
    else:
        assert "transfer-encoding" not in headers
    seen = events(body)
    names = [event["event"] for event in seen]
    assert names == ["subscribed", "snapshot_end", *["update"] * 20, "done", "closing"]
    assert [len(event["data"]) for event in seen[2:22]] == [number * 50 for number in range(20)]
    assert seen[-1]["reason"] == "done"


async def test_a_post_takes_the_subscription_as_its_body(service: Live) -> None:
    """URLs are short: a hundred channels fit a body."""
    names = [f"quotes.CHANNEL-{number:05}" for number in range(300)]
    url = service.url("/v1/sse")
    async with service.session.post(url, json={"channels": names, "interval_ms": 300}) as response:
        assert response.status == 200
        [subscribed, _] = await Events(response).read_until("snapshot_end")

    assert [grant["channel"] for grant in subscribed["channels"]] == names
    assert {grant["interval_ms"] for grant in subscribed["channels"]} == {500}


async def test_types_name_the_event_but_a_full_state_stays_where_the_changes_go(
    service: Live,
) -> None:
    """A publisher's type is the event's name; ``snapshot`` is unnamed and says so in its JSON."""
    async with service.sse("channels=book.A") as stream:
        await stream.read_until("snapshot_end")
        for type_ in (None, "snapshot", "trade_bust"):
            await service.publish("book.A", [], type=type_)
        plain, full, named = [await stream.next() for _ in range(3)]

    assert (plain["event"], plain.get("type")) == ("update", None)
    assert (full["event"], full["type"]) == ("update", "snapshot")
    assert (named["event"], named["type"]) == ("trade_bust", "trade_bust")
    assert (plain["prev"], full["prev"], named["prev"]) == (None, plain["seq"], full["seq"])


async def test_a_quiet_stream_beats_and_its_heartbeat_is_a_place_to_resume_from(
    make_live: MakeLive,
) -> None:
    """After heartbeat_s a heartbeat: an id moves on with the feed, without one on conflated."""
    service = await make_live(STREAM__HEARTBEAT_S="1")
    async with (
        service.sse("channels=trades.A") as lossless,
        service.sse("channels=quotes.A") as conflated,
    ):
        [_, before] = await lossless.read_until("snapshot_end")
        await conflated.read_until("snapshot_end")
        await service.publish("trades.OTHER", 1)  # moves the feed, not the channel
        beat, other = await asyncio.gather(lossless.next(), conflated.next())

    assert beat["event"] == other["event"] == "heartbeat"
    assert beat["upstream"] == {"trades": "live"}
    assert other["upstream"] == {"quotes": "live"}
    assert beat["server_time"] > 1_700_000_000_000
    assert beat["cursor"] != before["cursor"]
    assert "cursor" not in other

    await service.publish("trades.A", "after")
    async with service.sse(f"channels=trades.A&last_event_id={beat['cursor']}") as again:
        assert (await again.next())["channels"][0]["recovered"] is True
        assert [event["data"] for event in await again.updates(1)] == ["after"]


async def test_a_connection_has_no_ping_task(service: Live) -> None:
    """Not aiohttp-sse's task for each client: heartbeats come from one shared timer."""
    async with service.ndjson("channels=quotes.A") as lines:
        await lines.read_until("snapshot_end")
        without_ping = len(asyncio.all_tasks())
    await until(lambda: not service.service.connected)
    async with service.sse("channels=quotes.A") as stream:
        await stream.read_until("snapshot_end")
        assert len(asyncio.all_tasks()) == without_ping


async def test_a_forgotten_escape_is_explained(service: Live) -> None:
    """``#`` ends a URL: what arrives is ``quotes.``, and the answer says what to do."""
    async with connect(service, request("/v1/sse?channels=quotes.")) as wire:
        status, headers = await wire.head()
        body = orjson.loads(await wire.up_to(b"\n"))

    assert status == 400
    assert headers["content-type"].startswith("application/json")
    assert body["error"]["code"] == "bad_pattern"
    assert "write # as %23" in body["error"]["message"]
    assert body["error"]["item"] == "quotes."
