"""What SSE and NDJSON share: refusals before the stream, and every way that it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from loadtest.rig.process import ServiceProcess
from loadtest.rig.waiting import DEADLINE_S, until
from tests.service.transports.faults import (
    NO_CONNECTIONS,
    NO_LAST_WORDS,
    NO_SUBSCRIPTIONS,
    NO_TURNS,
    HeldBack,
)
from tests.support.live import Events, Lines, Reader
from tests.support.programs import require
from tests.support.raw import chunks, connect, request
from tickfan.core import closing
from tickfan.core import cursor as cursors
from tickfan.core.feed import Upstream
from tickfan.fanout.finding import LOOKS_AT_ONCE
from tickfan.parts import Parts
from tickfan.transports.streams import BEHIND_BYTES_MAX

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import ClientResponse

    from tests.support.fixtures import MakeLive
    from tests.support.live import Live

BOTH = pytest.mark.parametrize("kind", ["sse", "ndjson"])

REFUSED: dict[str, tuple[str, str, str]] = {
    # query: code, item, a part of the message
    "": ("no_channels", "channels", "write # as %23"),
    "channels=": ("no_channels", "channels", "say which"),
    "channels=quotes.A%20B": ("bad_channel", "quotes.A B", "allowed are"),
    "channels=quotes..A": ("bad_channel", "quotes..A", "no empty word"),
    "channels=quotes.EUR+USD": ("bad_channel", "quotes.EUR USD", "write + as %2B"),
    "channels=*.EUR+USD": ("bad_pattern", "*.EUR USD", "write + as %2B"),
    "channels=quotes.A%00": ("bad_channel", "quotes.A\0", "allowed are"),
    "channels=" + "a" * 129: ("bad_channel", "a" * 129, "1 to 128"),
    "channels=quotes.": ("bad_pattern", "quotes.", "write # as %23"),
    "channels=quotes.A*": ("bad_pattern", "quotes.A*", "whole words"),
    "channels=weather.X": ("no_feed", "weather.X", "quotes.#, trades.#, book.#, tokens.#"),
    "channels=quotes.A,weather.X": ("no_feed", "weather.X", "no feed covers"),
    "channels=quotes.A&interval_ms=fast": ("bad_field", "interval_ms", "'fast'"),
    "channels=quotes.A&interval_ms=-1": ("bad_field", "interval_ms", "'-1'"),
    "channels=quotes.A&interval_ms=1.5": ("bad_field", "interval_ms", "milliseconds"),
    "channels=quotes.A&interval_ms=%D9%A1": ("bad_field", "interval_ms", "whole number"),
    "channels=quotes.A&snapshot=maybe": ("bad_field", "snapshot", "1 or 0"),
    "chanels=quotes.A": ("bad_field", "chanels", "channels, cursor, interval_ms"),
    "channels=trades.A&cursor=x": ("bad_cursor", "cursor", "you received, unchanged"),
    "channels=trades.A&last_event_id=2~trades.1.-----------": ("bad_cursor", "cursor", "none"),
    "channels=trades.A&last_event_id=1~trades.zzzzzzzzzzz.-----------": (
        "bad_cursor", "cursor", "not a cursor",
    ),
}  # fmt: skip

BODIES: dict[str, tuple[str, str | None]] = {
    "": ("bad_json", None),
    "{": ("bad_json", None),
    "[1]": ("bad_json", None),
    '{"channels": "quotes.A"}': ("bad_field", "channels"),
    '{"channels": []}': ("bad_field", "channels"),
    '{"channels": [1]}': ("bad_field", "channels"),
    '{"interval_ms": 100}': ("bad_field", "channels"),
    '{"channels": ["quotes.A"], "interval_ms": "100"}': ("bad_field", "interval_ms"),
    '{"channels": ["quotes.A"], "interval_ms": true}': ("bad_field", "interval_ms"),
    '{"channels": ["quotes.A"], "interval_ms": -5}': ("bad_field", "interval_ms"),
    '{"channels": ["quotes.A"], "snapshot": 1}': ("bad_field", "snapshot"),
    '{"channels": ["quotes.A"], "cursor": 1}': ("bad_field", "cursor"),
    '{"channels": ["quotes.A"], "until": ["done"]}': ("bad_field", "until"),
    '{"channels": ["quotes.A"], "last_event_id": "1"}': ("bad_field", "last_event_id"),
    '{"channels": ["quotes.A", "weather.X"]}': ("no_feed", "weather.X"),
}


def reader(kind: str, response: ClientResponse) -> Reader:
    return Events(response) if kind == "sse" else Lines(response)


async def read(live: Live, kind: str, query: str, **headers: str) -> list[dict[str, Any]]:
    """All events of a stream that ends by itself."""
    url = live.url(f"/v1/{kind}?{query}")
    async with live.session.get(url, headers=headers) as response:
        assert response.status == 200, await response.text()
        return await reader(kind, response).read_until("closing")


@BOTH
async def test_a_bad_request_is_refused_before_the_stream(service: Live, kind: str) -> None:
    """EventSource never comes back after a 400: it is for what would fail again."""
    for query, (code, item, part) in REFUSED.items():
        async with service.session.get(service.url(f"/v1/{kind}?{query}")) as response:
            body = await response.json()
        assert response.status == (404 if code == "no_feed" else 400), query
        assert response.headers["Cache-Control"] == "no-store"
        assert (body["error"]["code"], body["error"].get("item")) == (code, item), query
        assert part in body["error"]["message"], query
        assert body["errors"][0] == body["error"]
    assert not service.service.tally.connects


@BOTH
async def test_a_large_subscription_is_whole(service: Live, kind: str) -> None:
    """It is looked for before the stream begins, in many turns of the loop."""
    names = [f"quotes.n.{number}" for number in range(LOOKS_AT_ONCE + 500)]
    await service.publish_all(names)
    url = service.url(f"/v1/{kind}?channels=*.n.%23,%23&interval_ms=100&snapshot=1")
    async with service.session.get(url) as response:
        events = reader(kind, response)
        opening = await events.read_until("snapshot_end")
        await service.publish("quotes.n.7", "after")
        await service.publish("trades.new", "after")
        came = {one["channel"]: one["data"] for one in await events.updates(2)}
    assert [one["channel"] for one in opening if one["event"] == "update"] == names
    assert came == {"quotes.n.7": "after", "trades.new": "after"}


@BOTH
async def test_a_client_that_goes_during_its_search_leaves_nothing(
    service: Live, kind: str
) -> None:
    """Its search ends early, and it was never a connection."""
    await service.publish_all([f"quotes.n.{number}" for number in range(20_000)])
    for _ in range(5):
        async with connect(service, request(f"/v1/{kind}?channels=%23,*.%23,%23.*")):
            await until(lambda: len(service.service.background) > 0)
    await until(lambda: len(service.service.background) == 0)
    await until(lambda: not service.client.server.runner.server.connections)  # type: ignore[union-attr]
    assert len(service.service.directory) == 0


@BOTH
async def test_a_bad_body_is_refused_before_the_stream(service: Live, kind: str) -> None:
    """The error names the field."""
    url = service.url(f"/v1/{kind}")
    for text, (code, item) in BODIES.items():
        async with service.session.post(url, data=text) as response:
            error = (await response.json())["error"]
        assert response.status == (404 if code == "no_feed" else 400), text
        assert (error["code"], error.get("item")) == (code, item), text
    async with service.session.post(url, data=b"{" + b" " * 300_000) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (413, "too_large")
    gzip = {"Content-Encoding": "identity, gzip"}
    async with service.session.post(url, data="{}", headers=gzip) as response:
        assert response.status == 415
    async with service.session.post(f"{url}?channels=quotes.A", json={}) as response:
        assert (await response.json())["error"]["item"] == "channels"


@BOTH
async def test_every_refused_channel_is_named(make_live: MakeLive, kind: str) -> None:
    """All that is wrong comes at once; nothing is granted by half."""
    service = await make_live(STREAM__CHANNELS_PER_CONNECTION_MAX="3")
    url = service.url(f"/v1/{kind}")
    async with service.session.get(f"{url}?channels=weather.X,quotes.A,quotes..B") as response:
        found = [(error["code"], error["item"]) for error in (await response.json())["errors"]]
    assert found == [("no_feed", "weather.X"), ("bad_channel", "quotes..B")]

    names = [f"quotes.{number:x}." for number in range(10_000)]
    async with service.session.post(url, json={"channels": names}) as response:
        body = await response.json()
    [error] = body["errors"]
    assert response.status == 400
    assert (error["code"], error["item"]) == ("too_many_channels", "quotes.3.")
    assert "10000 channels at once; a connection has at most 3: use a wildcard" in error["message"]


@BOTH
async def test_of_several_faults_the_first_is_told(make_live: MakeLive, kind: str) -> None:
    """The cursor, then how many channels there are, then each of them."""
    service = await make_live(STREAM__CHANNELS_PER_CONNECTION_MAX="2")
    many, bad = "channels=a..b,nobody,c", "channels=a..b,nobody"
    told = []
    for query in (f"{many}&cursor=x", f"{bad}&cursor=x", many, bad):
        async with service.session.get(service.url(f"/v1/{kind}?{query}")) as response:
            told.append([error["code"] for error in (await response.json())["errors"]])
    assert told == [
        ["bad_cursor"],
        ["bad_cursor"],
        ["too_many_channels"],
        ["bad_channel", "no_feed"],
    ]


@BOTH
async def test_names_come_through_every_escape(service: Live, kind: str) -> None:
    """Repeated and comma-separated channels, and all characters that a name may have."""
    names = ["quotes.EUR/USD", "quotes.a:b@c=d+e^f-g_h", "quotes.#", "quotes.A", "trades.*"]
    query = (
        "channels=quotes.EUR%2FUSD,quotes.a%3Ab%40c%3Dd%2Be%5Ef-g_h,quotes.%23"
        "&channels=quotes.%41&channels=,trades.*,&_=12345"
    )
    async with service.session.get(service.url(f"/v1/{kind}?{query}")) as response:
        subscribed = await reader(kind, response).next()
    assert [grant["channel"] for grant in subscribed["channels"]] == names


@BOTH
async def test_what_is_granted_is_said(service: Live, kind: str) -> None:
    """The interval goes up the ladder, never below the feed's; snapshot says what comes."""
    await service.publish("quotes.A", 1)
    await service.publish("trades.A", 1)
    granted = {}
    for asked in (0, 1, 100, 101, 2001, 60_001):
        query = f"channels=quotes.A&interval_ms={asked}"
        async with service.session.get(service.url(f"/v1/{kind}?{query}")) as response:
            [grant] = (await reader(kind, response).next())["channels"]
            granted[asked] = grant["interval_ms"]
    assert granted == {0: 100, 1: 100, 100: 100, 101: 200, 2001: 5000, 60_001: 60_000}

    query = "channels=quotes.A,quotes.NEVER,trades.A"
    found = {}
    for switch in "10":
        url = service.url(f"/v1/{kind}?{query}&snapshot={switch}")
        async with service.session.get(url) as response:
            opening = await reader(kind, response).read_until("snapshot_end")
        grants = opening[0]["channels"]
        found[switch] = [grant["snapshot"] for grant in grants], len(opening)
        assert [grant["delivery"] for grant in grants] == ["conflated", "conflated", "lossless"]
        assert "interval_ms" not in grants[2]
        assert grants[2]["history_start"] == 0
        assert "cursor" not in opening[0]
        assert opening[-1]["cursor"].startswith("1~trades.0.")
    assert found == {"1": (["latest", "none", "none"], 3), "0": (["none", "none", "none"], 2)}


@BOTH
async def test_a_channel_that_several_patterns_match_comes_once(service: Live, kind: str) -> None:
    """Each update of a lossless channel once, and one snapshot of a conflated one."""
    await service.publish("quotes.A", "first")
    query = "channels=quotes.A,quotes.*,quotes.%23,%23,trades.%23,trades.A"
    async with service.session.get(service.url(f"/v1/{kind}?{query}")) as response:
        events = reader(kind, response)
        opening = await events.read_until("snapshot_end")
        for number in range(10):
            await service.publish("trades.A", number)
        await service.publish("quotes.A", "last")
        seen = await events.updates(11)
        await service.publish("trades.A", "end")
        [end] = await events.updates(1)

    assert [event["data"] for event in opening if event["event"] == "update"] == ["first"]
    trades = [event["data"] for event in seen if event["channel"] == "trades.A"]
    assert trades == list(range(10))
    assert end["data"] == "end"


@BOTH
async def test_the_header_wins_over_the_query(service: Live, kind: str) -> None:
    """A browser's Last-Event-ID is newer than the URL that its page was made with."""
    async with service.session.get(service.url(f"/v1/{kind}?channels=trades.A")) as response:
        events = reader(kind, response)
        await events.read_until("snapshot_end")
        for number in range(4):
            await service.publish("trades.A", number)
        first, _, third, _ = await events.updates(4)

    query = f"channels=trades.A&last_event_id={first['cursor']}"
    url = service.url(f"/v1/{kind}?{query}")
    async with service.session.get(url) as response:
        rest = await reader(kind, response).updates(3)
    assert [event["data"] for event in rest] == [1, 2, 3]
    header = {"Last-Event-ID": third["cursor"]}
    async with service.session.get(url, headers=header) as response:
        rest = await reader(kind, response).updates(1)
    assert [event["data"] for event in rest] == [3]


@BOTH
async def test_until_ends_the_stream_and_keeps_the_reader_from_coming_back(
    service: Live, kind: str
) -> None:
    """closing: done, and 204 to who comes back with the last id."""
    await service.publish("tokens.A", "old")
    url = service.url(f"/v1/{kind}?channels=tokens.A&until=done")
    async with service.session.get(url) as response:
        events = reader(kind, response)
        await events.read_until("snapshot_end")
        for number in range(3):
            await service.publish("tokens.A", number)
        await service.publish("tokens.A", "bye", type="done")
        await service.publish("tokens.A", "too late")
        seen = await events.read_until("closing")
        assert await response.content.read() == b""

    assert [event["data"] for event in seen[:-1]] == [0, 1, 2, "bye"]
    assert (seen[-1]["reason"], seen[-1]["code"]) == ("done", 4504)
    assert seen[-1]["retry_ms"] is None
    assert "cursor" not in seen[-1]

    last = {"Last-Event-ID": seen[-2]["cursor"]}
    async with service.session.get(url, headers=last) as response:
        assert (response.status, await response.read()) == (204, b"")
        assert "no-store" in response.headers["Cache-Control"]
    before = {"Last-Event-ID": seen[0]["cursor"]}
    rest = await read(service, kind, "channels=tokens.A&until=done", **before)
    assert [event["data"] for event in rest[2:-1]] == [1, 2, "bye"]


@BOTH
async def test_the_end_of_another_channel_is_not_the_end(service: Live, kind: str) -> None:
    """A cursor moves on with its feed: it may stand at another channel's ``done``."""
    await service.publish("tokens.OTHER", "bye", type="done")
    url = service.url(f"/v1/{kind}?channels=tokens.MINE&until=done")
    async with service.session.get(url) as response:
        [*_, snapshot_end] = await reader(kind, response).read_until("snapshot_end")
    header = {"Last-Event-ID": snapshot_end["cursor"]}
    async with service.session.get(url, headers=header) as response:
        assert response.status == 200
        assert (await reader(kind, response).next())["channels"][0]["recovered"] is True


@BOTH
async def test_overload_sends_the_client_away_for_a_while(make_live: MakeLive, kind: str) -> None:
    """200, retry and closing: an EventSource comes back, with its last id."""
    service = await make_live(STREAM__CONNECTIONS_MAX="1")
    async with service.ws():
        status, end = await read(service, kind, "channels=quotes.A")

    assert status["event"] == "status"
    assert 1000 <= int(status["retry"] if kind == "sse" else status["retry_ms"]) <= 3000
    assert (end["reason"], end["code"]) == ("overload", 4006)
    assert 1000 <= end["retry_ms"] <= 3000
    assert "cursor" not in status | end
    assert service.service.tally.closes[kind, "overload"] == 1
    async with service.session.get(service.url(f"/v1/{kind}?channels=quotes.A")) as response:
        assert (await reader(kind, response).next())["event"] == "subscribed"


@BOTH
async def test_before_the_start_only_lossless_streams_wait(make_live: MakeLive, kind: str) -> None:
    """A lossless stream would not know its tail; a conflated one says that it is not live."""
    service = await make_live(BROKER__URL="amqp://guest:guest@127.0.0.1:1")
    for channels in ("trades.A", "quotes.A,trades.A", "%23"):
        [status, end] = await read(service, kind, f"channels={channels}")
        assert status["upstream"]["trades"] == "starting"
        assert (end["reason"], end["code"]) == ("starting", 4000)
        assert end["retry_ms"]
    async with service.session.get(service.url(f"/v1/{kind}?channels=quotes.A")) as response:
        subscribed = await reader(kind, response).next()
    assert subscribed["channels"][0]["upstream"] == "starting"


@BOTH
async def test_draining_tells_everybody_and_turns_newcomers_away(service: Live, kind: str) -> None:
    """closing: drain with the cursor, after all that was due."""
    async with service.session.get(service.url(f"/v1/{kind}?channels=trades.A")) as response:
        events = reader(kind, response)
        await events.read_until("snapshot_end")
        await service.publish("trades.A", 1)
        [update] = await events.updates(1)
        await service.service.drain(0)
        end = await events.next()
        assert await response.content.read() == b""

    assert (end["event"], end["reason"], end["code"]) == ("closing", "drain", 4003)
    assert end["cursor"] == update["cursor"]
    assert end["retry_ms"]
    assert (await read(service, kind, "channels=quotes.A"))[-1]["reason"] == "drain"
    assert service.service.tally.closes == {(kind, "drain"): 2}


AHEAD = "channels=trades.A&cursor=1~trades.3zz.AAAAAAAAAAA"


@BOTH
async def test_a_drain_holds_for_those_who_wait_for_their_cursor(
    make_live: MakeLive, kind: str
) -> None:
    """Who comes ahead of this replica waits; what begins meanwhile holds for it, too."""
    service = await make_live()
    reading = asyncio.create_task(read(service, kind, AHEAD))
    async with connect(service, request(f"/v1/{kind}?{AHEAD}")) as wire:
        await wire.head()  # so the first waits as well
        await service.service.drain(0)
        events = await reading
    assert [event["event"] for event in events] == ["status", "closing"]
    assert events[-1]["reason"] == "drain"


@BOTH
async def test_those_who_wait_for_their_cursor_take_a_place(make_live: MakeLive, kind: str) -> None:
    """A flood of cursors from the future is bounded as connections are."""
    service = await make_live(STREAM__CONNECTIONS_MAX="1")
    async with connect(service, request(f"/v1/{kind}?{AHEAD}")) as wire:
        await wire.head()
        events = await read(service, kind, AHEAD)
        assert not service.service.tally.connects, "the first still waited, and took the place"
    assert events[-1]["reason"] == "overload"


@BOTH
async def test_whoever_waited_for_its_cursor_gives_its_place_back(
    make_live: MakeLive, kind: str
) -> None:
    """However its wait ends; else at last everybody would be turned away."""
    service = await make_live(STREAM__CONNECTIONS_MAX="1")
    for how in ("left", "left", "stale", "caught up"):
        async with connect(service, request(f"/v1/{kind}?{AHEAD}")) as wire:
            await wire.head()
            if how == "stale":
                service.hub.upstream(service.service.feeds["trades"], Upstream.STALE, "gone", 0)
                await wire.up_to(b"closing")
                service.hub.upstream(service.service.feeds["trades"], Upstream.LIVE, "", 0)
            elif how == "caught up":
                while service.service.feeds.behind(cursors.parse(AHEAD.partition("cursor=")[2])):
                    await service.publish("trades.A", 1)
                await wire.up_to(b"snapshot_end")
        await until(lambda: not service.client.server.runner.server.connections)  # type: ignore[union-attr]
        async with connect(service, request(f"/v1/{kind}?channels=trades.A")) as wire:
            assert b"overload" not in await wire.up_to(b"snapshot_end")
        await until(lambda: not service.service.connected)
    assert (kind, "overload") not in service.service.tally.closes


@BOTH
async def test_whoever_goes_waits_no_more(service: Live, kind: str) -> None:
    """Its place is free at once, and not when its time is over."""
    service.service.admission.behind_s = 3600.0
    awaited = service.service.feeds["trades"].awaited
    async with connect(service, request(f"/v1/{kind}?{AHEAD}")) as wire:
        await wire.head()
        await until(lambda: len(awaited) == 1)
    await until(lambda: not len(awaited))
    await until(lambda: not service.client.server.runner.server.connections)  # type: ignore[union-attr]


@BOTH
async def test_who_waits_for_a_feed_that_goes_down_is_sent_elsewhere(
    service: Live, kind: str
) -> None:
    """This replica will not catch up; another may have what the cursor names."""
    async with connect(service, request(f"/v1/{kind}?{AHEAD}")) as wire:
        await wire.head()
        service.hub.upstream(service.service.feeds["trades"], Upstream.STALE, "gone", 0)
        answer = await wire.rest()
    assert b'"reason":"starting","code":4000' in answer
    assert b"subscribed" not in answer


@BOTH
@pytest.mark.parametrize("reason", ["overload", "drain"])
async def test_who_waits_for_its_turn_to_begin_may_be_too_late(
    make_live: MakeLive, kind: str, reason: str
) -> None:
    """A burst gets no more than connections_max in, and none into a drain that has told all."""
    service = await make_live(parts=Parts(slices=HeldBack), STREAM__CONNECTIONS_MAX="5")
    slices = service.service.slices
    assert isinstance(slices, HeldBack)
    slices.hold()
    queries = [f"channels=quotes.{index}" for index in range(12)]
    reading = [asyncio.create_task(read(service, kind, query)) for query in queries]
    await until(lambda: len(slices.held) == 12)
    if reason == "drain":
        await service.service.drain(0)
    slices.release()
    await until(lambda: sum(task.done() for task in reading) == (12 if reason == "drain" else 7))
    closes = {(kind, reason): 12 if reason == "drain" else 7}
    assert service.service.tally.closes == closes
    for task in reading:
        if task.done():
            assert [event["event"] for event in task.result()] == ["status", "closing"]
    await service.service.drain(0)
    assert len(await asyncio.gather(*reading)) == 12


@BOTH
async def test_who_uploads_for_ever_is_ended(service: Live, kind: str) -> None:
    """What comes behind a request is dropped; 3 GB/s of it took half a core."""
    async with connect(service, request(f"/v1/{kind}?channels=quotes.A")) as wire:
        await wire.up_to(b"snapshot_end")
        wire.send(b"x" * (BEHIND_BYTES_MAX - 2**18))
        await service.publish("quotes.A", "still here")
        await wire.up_to(b"still here")
        for _ in range(5):
            wire.send(b"x" * 2**18)
        await until(lambda: not service.service.connected)
    assert service.service.tally.closes == {(kind, "bad_request"): 1}


@BOTH
@pytest.mark.parametrize(
    "parts", [NO_CONNECTIONS, NO_SUBSCRIPTIONS, NO_TURNS], ids=["connect", "subscribe", "turn"]
)
async def test_a_failure_after_the_headers_is_told(
    make_live: MakeLive, kind: str, parts: Parts
) -> None:
    """closing: internal in a complete body, never a bare cut nor a second response."""
    service = await make_live(parts=parts)
    with capture_logs() as logs:
        async with connect(service, request(f"/v1/{kind}?channels=quotes.A")) as wire:
            status, _ = await wire.head()
            last = b"".join(chunks(await wire.rest()))

    assert status == 200
    assert b'"reason":"internal"' in last
    assert b'"code":4008' in last
    assert b"deep" not in last
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["a stream failed"]
    assert not service.service.connected
    assert not len(service.service.directory)


@BOTH
async def test_a_failure_while_leaving_is_no_second_response(
    make_live: MakeLive, kind: str
) -> None:
    """A JSON error in the middle of a stream would be read as a part of it."""
    service = await make_live(parts=NO_LAST_WORDS)
    async with connect(service, request(f"/v1/{kind}?channels=quotes.A")) as wire:
        await wire.up_to(b"snapshot_end")
        await service.service.drain(0)
        assert b"HTTP/1.1" not in await wire.rest()


@BOTH
@pytest.mark.parametrize("together", [True, False], ids=["pipelined", "later"])
async def test_a_late_update_never_reaches_the_next_request(
    service: Live, kind: str, *, together: bool
) -> None:
    """The bytes after the stream are none: it ends with its connection.

    A client (or a proxy for another user) that sends a second request on the
    connection gets neither an answer there nor a byte of the stream.
    """
    follower = request("/v1/channels")
    first = request(f"/v1/{kind}?channels=tokens.A&until=done", Connection="keep-alive")
    async with connect(service, first + (follower if together else b"")) as wire:
        _, headers = await wire.head()
        opening = await wire.up_to(b"snapshot_end")
        if not together:
            wire.send(follower)
        await service.publish("tokens.A", None, type="done")
        for number in range(100):  # while it leaves, and after
            await service.publish("tokens.A", f"late {number}")
            await asyncio.sleep(0)
        body = b"".join(chunks(opening + await wire.rest()))

    assert headers["keep-alive"] == "timeout=1"
    assert "connection" not in headers
    assert body.count(b"subscribed") == 1
    assert b"late" not in body
    assert b"HTTP/1.1" not in body
    await until(lambda: not len(service.service.directory), "the audience has ended")


@BOTH
async def test_a_head_gets_the_headers_and_no_stream(service: Live, kind: str) -> None:
    """Monitors ask so. The connection stays for their next request."""
    path = f"/v1/{kind}?channels=quotes.A"
    async with connect(service, request(path, method="HEAD") + request("/v1/channels")) as wire:
        status, headers = await wire.head()
        assert (await wire.head())[0] == 200  # and nothing is between the two
    assert status == 200
    assert "transfer-encoding" not in headers
    assert headers["cache-control"] == "no-store, no-transform"
    async with connect(service, request(path)) as wire:
        assert headers["content-type"] == (await wire.head())[1]["content-type"]
    assert service.service.tally.connects == {kind: 1}


FETCH = """
const response = await fetch(process.argv[1]);
let bytes = 0;
try {
  for await (const chunk of response.body) {
    if (!bytes) console.log("begun");
    bytes += chunk.length;
  }
  console.log("end");
} catch (error) {
  console.log("error");
}
"""


@BOTH
@pytest.mark.parametrize(("way", "said"), [("kill", "error"), ("stop", "end")])
async def test_nodes_fetch_tells_a_cut_from_an_end(
    tmp_path: Path, kind: str, way: str, said: str
) -> None:
    """A killed service is an error, and an orderly stop is none.

    With ``Connection: close`` in the headers Node called both an end, and a client that
    waits for an error never came back.
    """
    node = require("node", package="nodejs")
    process = ServiceProcess(tmp_path, {"STOP__DRAIN_S": "0"})
    with process:
        url = f"{process.url}/v1/{kind}?channels=quotes.A"
        fetch = await asyncio.create_subprocess_exec(
            node, "--input-type=module", "-e", FETCH, url, stdout=asyncio.subprocess.PIPE
        )
        assert fetch.stdout is not None
        try:
            async with asyncio.timeout(DEADLINE_S):
                assert await fetch.stdout.readline() == b"begun\n"
                await asyncio.to_thread(getattr(process, way))
                assert await fetch.stdout.readline() == f"{said}\n".encode()
                assert await fetch.wait() == 0
        finally:
            if fetch.returncode is None:
                fetch.kill()
                await fetch.wait()


@BOTH
async def test_a_reader_that_is_too_slow_is_told_and_may_come_back(
    make_live: MakeLive, kind: str, over: dict[str, str]
) -> None:
    """closing: slow with a cursor that recovers all of the rest; nobody else notices."""
    feeds = (
        '[{"name": "trades", "bind": ["trades.#"], "delivery": "lossless",'
        ' "queue_updates_max": 50, "queue_bytes_max": 1048576}]'
    )
    service = await make_live(**over, FEEDS=feeds, STREAM__CLOSING_TIMEOUT_S="5")
    query = "channels=trades.A"
    async with service.session.get(service.url(f"/v1/{kind}?{query}")) as healthy:
        other = reader(kind, healthy)
        await other.read_until("snapshot_end")
        head = request(f"/v1/{kind}?{query}", version="1.0")
        async with connect(service, head, receive_bytes=4096) as wire:
            await until(lambda: service.service.connected == 2)
            slow = [*service.service.connections][1].subscriber
            sent = 0
            while slow.ended is None:
                await service.publish("trades.A", str(sent) * 4000)
                sent += 1
                await other.updates(1)
                assert sent < 2000
            body = await wire.rest()

    assert slow.ended is closing.SLOW
    assert b'"reason":"slow"' in body
    end = body[body.rindex(b"1~trades.") :].split(b'"')[0].split(b"\n")[0].decode()
    received = body.count(b'"prev"')
    header = {"Last-Event-ID": end}
    async with service.session.get(service.url(f"/v1/{kind}?{query}"), headers=header) as response:
        rest = await reader(kind, response).updates(sent - received)
    assert rest[0]["data"].startswith(str(received))
    assert rest[-1]["data"].startswith(str(sent - 1))
