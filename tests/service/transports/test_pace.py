"""How often one may ask: what each wire is told, before any body is read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest
from structlog.testing import capture_logs

from loadtest.rig.waiting import DEADLINE_S, until
from tests.service.transports.opened import KINDS, open_stream
from tests.support.raw import CLOSE, TEXT, connect, events, request, upgrade
from tickfan.core.closing import THROTTLED
from tickfan.transports.admission import RETRY_SPREAD, THROTTLED_FACTOR

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live

ONE_A_SECOND = {"HTTP__REQUESTS_PER_ADDRESS_PER_S_MAX": "1"}
FEW_STREAMS = {"HTTP__HANDSHAKES_PER_S_MAX": "1"}
RETRY_MS = 2000


async def _use_up(live: Live) -> None:
    """Ask until it is too often: a busy machine does not get there by a fixed count."""
    for _ in range(1000):
        async with live.session.get(live.url("/v1/channels")) as answer:
            if answer.status == 429:
                break
    else:
        raise AssertionError("nobody is turned away")
    # It stays so for as long as a test may take.
    live.service.limiter.addresses.get("127.0.0.1").requests.full_at += DEADLINE_S


def _is_long(retry_ms: int) -> bool:
    usual = RETRY_MS * THROTTLED_FACTOR
    return usual * (1 - RETRY_SPREAD) <= retry_ms <= usual * (1 + RETRY_SPREAD)


async def _throttled(live: Live, kind: str) -> dict[str, object]:
    """What a client of a wire is told; it is an answer that lets its library come back."""
    async with connect(live, KINDS[kind]) as wire:
        status, headers = await wire.head()
        if kind == "ws.json":
            assert status == 101
            text, close = await wire.frame(), await wire.frame()
            assert (text.opcode, close.opcode, close.code) == (TEXT, CLOSE, THROTTLED.code)
            closing: dict[str, object] = orjson.loads(text.body)
            assert closing.pop("t") == "closing"
            return closing
        assert (status, headers["cache-control"]) == (200, "no-store, no-transform")
        body = await wire.rest()
        if kind == "sse":
            assert headers["content-type"].startswith("text/event-stream")
            first, last = (found := events(body))[0], found[-1]
            assert _is_long(int(first["retry"])), "what an EventSource goes by"
            assert last.pop("event") == "closing"
            return last
        last = orjson.loads(body.splitlines()[-1])
        assert last.pop("event") == "closing"
        assert headers["content-type"] == "application/x-ndjson"
        return dict(last)


@pytest.mark.parametrize("kind", KINDS)
async def test_who_asks_too_often_is_asked_to_come_back_later(
    make_live: MakeLive, kind: str
) -> None:
    """A stream by 200 and `closing`, or by a close code below 4500; counted and logged."""
    live = await make_live(**ONE_A_SECOND)
    with capture_logs() as logs:
        await _use_up(live)
        closing = await _throttled(live, kind)
    assert (closing["reason"], closing["code"]) == ("throttled", 4010)
    assert isinstance(closing["retry_ms"], int)
    assert _is_long(closing["retry_ms"])
    [(format_, reason)] = live.service.tally.closes
    assert (format_, reason) == (kind, "throttled")
    assert live.service.tally.refusals["rate_limited"] == 1
    told = [(line["event"], line["reason"], line["remote"]) for line in logs]
    assert ("request refused", "rate_limited", "127.0.0.1") in told
    assert ("turned away", "throttled", "127.0.0.1") in told
    assert not live.service.connected


async def test_a_rest_client_gets_429_and_another_address_nothing_of_it(
    make_live: MakeLive,
) -> None:
    """With a coded body and Retry-After; its connection goes on."""
    live = await make_live(**ONE_A_SECOND)
    await _use_up(live)
    async with live.session.get(live.url("/v1/channels")) as answer:
        assert answer.status == 429
        assert 1 <= int(answer.headers["Retry-After"]) <= DEADLINE_S + 2
        error = (await answer.json())["error"]
    assert error["code"] == "rate_limited"
    assert "http.requests_per_address_per_s_max" in error["message"]
    away = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with aiohttp.ClientSession(connector=away) as other:
        async with other.get(live.url("/v1/channels")) as answer:
            assert answer.status == 200
        async with other.get(live.url("/v1/sse?channels=quotes.A")) as answer:
            assert b"subscribed" in await answer.content.readuntil(b"subscribed")


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/channels/quotes.A", 429), ("/v1/sse", 200), ("/v1/ndjson", 200)]
)
async def test_no_body_is_read_of_who_asks_too_often(
    make_live: MakeLive, path: str, status: int
) -> None:
    """The answer comes while all of the body is still to be sent."""
    live = await make_live(**ONE_A_SECOND)
    await _use_up(live)
    asks = request(path, method="POST", Content_Length="200000", Content_Type="application/json")
    async with connect(live, asks) as wire:
        assert (await wire.head())[0] == status


async def test_clients_of_a_trusted_proxy_are_counted_by_their_own_addresses(
    make_live: MakeLive,
) -> None:
    """The proxy itself may ask as often as it likes."""
    live = await make_live(**ONE_A_SECOND, HTTP__TRUSTED_PROXIES='["127.0.0.0/8"]')

    async def ask(**headers: str) -> int:
        async with live.session.get(live.url("/v1/channels"), headers=headers) as answer:
            return answer.status

    statuses = {await ask(Forwarded="for=192.0.2.1") for _ in range(50)}
    assert statuses == {200, 429}
    assert await ask(Forwarded="for=192.0.2.2") == 200
    assert await ask(**{"X-Forwarded-For": "192.0.2.3"}) == 200
    assert {await ask() for _ in range(50)} == {200}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_storm_of_handshakes_waits_and_who_is_in_misses_nothing(
    make_live: MakeLive, kind: str
) -> None:
    """Streams over all addresses; a proxy can ask another replica, REST is not touched."""
    live = await make_live(**FEW_STREAMS)
    async with live.sse("channels=trades.A") as healthy:
        await healthy.read_until("snapshot_end")

        async def come(number: int) -> bytes:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", live.client.port, local_addr=(f"127.0.1.{number % 100 + 1}", 0)
            )
            try:
                writer.write(KINDS[kind])
                # A WebSocket that has come in is welcomed.
                marks = (b"closing", b"subscribed", b"welcome")
                seen = b""
                while not any(mark in seen for mark in marks):
                    seen += (some := await asyncio.wait_for(reader.read(4096), DEADLINE_S))
                    assert some, seen
                return seen
            finally:
                writer.close()

        coming = asyncio.gather(*(come(number) for number in range(300)))
        for number in range(100):
            await live.publish("trades.A", number)
        answers = await coming
        assert [update["data"] for update in await healthy.updates(100)] == list(range(100))
        away = [answer for answer in answers if b"closing" in answer]
        assert len(away) > 100
        live.service.limiter.addresses.handshakes.full_at += DEADLINE_S
        assert live.service.tally.closes[kind, "throttled"] == len(away)
        async with live.session.get(live.url("/v1/channels")) as answer:
            assert answer.status == 200
        ask = upgrade(Tickfan_Ask_Next="1")
        if kind != "ws.json":
            ask = request(f"/v1/{kind}?channels=quotes.A", Tickfan_Ask_Next="1")
        async with connect(live, ask) as wire:
            status, headers = await wire.head()
        assert status == 503
        assert 5 <= int(headers["retry-after"]) <= 15
        assert live.service.tally.refusals["throttled"] == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_an_address_has_its_share_of_streams(make_live: MakeLive, kind: str) -> None:
    """Over all wires; a stream that has ended counts no more, nor does one that never began."""
    live = await make_live(STREAM__CONNECTIONS_PER_ADDRESS_MAX="2")
    async with connect(live, KINDS["sse"]) as one:
        await open_stream(one, "sse")
        async with connect(live, KINDS[kind]) as two:
            await open_stream(two, kind)
            assert (await _throttled(live, kind))["reason"] == "throttled"
        await _until_streams(live, 1)
        async with connect(live, KINDS[kind]) as two:
            await open_stream(two, kind)
    await _until_streams(live, 0)


async def test_a_stream_that_could_not_begin_is_counted_no_more(make_live: MakeLive) -> None:
    """Turned away for another reason, on each wire."""
    live = await make_live(STREAM__CONNECTIONS_MAX="1", STREAM__CONNECTIONS_PER_ADDRESS_MAX="9")
    async with connect(live, KINDS["sse"]) as one:
        await open_stream(one, "sse")
        for kind in KINDS:
            async with connect(live, KINDS[kind]) as wire:
                assert b"overload" in await wire.up_to(b"overload")
        await _until_streams(live, 1)


async def _until_streams(live: Live, count: int) -> None:
    await until(lambda: live.service.limiter.addresses.get("127.0.0.1").streams == count)
