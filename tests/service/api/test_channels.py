"""What channels there are, and the latest value of one."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from yarl import URL

from tests.support.raw import connect, request
from tickfan.core.pattern import Pattern
from tickfan.fanout.finding import LOOKS_AT_ONCE

if TYPE_CHECKING:
    from tests.support.live import Live


async def get(live: Live, path: str, status: int = 200) -> Any:
    async with live.session.get(live.url(path)) as response:
        assert response.status == status, await response.text()
        assert response.content_type == "application/json"
        assert response.headers["Cache-Control"] == "no-store"
        assert (await response.read()).endswith(b"}\n")
        return await response.json()


async def test_channels_come_by_name_and_page_by_page(service: Live) -> None:
    """``next`` of a page is ``after`` of the one behind it; all are seen once."""
    names = [f"quotes.S{number:03}" for number in range(25)] + ["trades.A"]
    for name in reversed(names):
        await service.publish(name, 1)

    seen: list[str] = []
    after: str | None = ""
    pages = 0
    while after is not None:
        page = await get(service, f"/v1/channels?limit=10&after={after}")
        seen += [channel["channel"] for channel in page["channels"]]
        after = page["next"]
        pages += 1
    assert seen == names
    assert pages == 3

    page = await get(service, "/v1/channels?pattern=*.A")
    [channel] = page["channels"]
    assert channel.pop("ts") > 1_700_000_000_000
    assert channel == {"channel": "trades.A", "feed": "trades", "delivery": "lossless", "seq": 0}
    assert page["next"] is None
    assert page["feeds"][0] == {
        "feed": "quotes", "bind": ["quotes.#"], "delivery": "conflated", "channels": 25,
        "upstream": "live",
    }  # fmt: skip
    assert (await get(service, "/v1/channels?limit=26"))["next"] is None
    assert (await get(service, "/v1/channels?after=zzz"))["channels"] == []


@pytest.mark.parametrize("limit", [1, 700, 10_000])
async def test_pages_of_many_channels(service: Live, limit: int) -> None:
    """In whatever order they came: first by name, behind ``after``, of those that match."""
    numbers = list(range(3 * LOOKS_AT_ONCE))
    Random(1).shuffle(numbers)
    names = [f"quotes.{'xyz'[number % 3]}.{number:05}" for number in numbers]
    await service.publish_all(names)
    await service.publish("trades.z.1", 1)
    names.append("trades.z.1")
    for pattern, after in (("*.*.*", ""), ("*.y.%23", "quotes.y.01000"), ("%23.none", "")):
        matches = Pattern(pattern.replace("%23", "#")).matches
        due = sorted(name for name in names if name > after and matches(name))
        page = await get(service, f"/v1/channels?pattern={pattern}&after={after}&limit={limit}")
        assert [channel["channel"] for channel in page["channels"]] == due[:limit]
        assert page["next"] == (due[limit - 1] if len(due) > limit else None)


async def test_a_long_list_is_made_beside_what_else_is_asked(service: Live) -> None:
    """In slices up to its encoding, with turns of the loop between them."""
    await service.publish_all([f"quotes.{number:05}" for number in range(10_000)])
    url = service.url("/v1/channels?limit=10000")
    async with service.counted_turns() as turns, service.session.get(url) as response:
        assert len((await response.json())["channels"]) == 10_000
    assert turns["making"] >= 5


@pytest.mark.parametrize(
    ("query", "code", "item"),
    [
        ("after=quotes.EUR+USD", "bad_field", "after"),
        ("limit=0", "bad_field", "limit"),
        ("limit=10001", "bad_field", "limit"),
        ("limit=-1", "bad_field", "limit"),
        ("limit=1e3", "bad_field", "limit"),
        ("limit=%D9%A1", "bad_field", "limit"),
        ("limit=99999999999999999999", "bad_field", "limit"),
        ("pattern=quotes.", "bad_pattern", "quotes."),
        ("pattern=a%20b", "bad_channel", "a b"),
    ],
)
async def test_a_bad_query_is_named(service: Live, query: str, code: str, item: str) -> None:
    """The parameter and what is allowed."""
    error = (await get(service, f"/v1/channels?{query}", 400))["error"]
    assert ("write + as %2B" in error["message"]) is ("+" in query or "%20" in query)
    assert (error["code"], error["item"]) == (code, item)


async def test_the_latest_value_is_what_the_streams_send(service: Live) -> None:
    """The same object as an update on SSE."""
    await service.publish("quotes.EUR/USD", {"bid": "1"})
    await service.publish("quotes.EUR/USD", {"bid": "2"})
    await service.publish("trades.A", "first")
    await service.publish("trades.A", "full", type="snapshot", ts=1234)

    quote = await get(service, "/v1/channels/quotes.EUR%2FUSD")
    assert (quote["channel"], quote["seq"], quote["data"]) == ("quotes.EUR/USD", 2, {"bid": "2"})
    assert "prev" not in quote
    assert "type" not in quote
    assert await get(service, "/v1/channels/trades.A") == {
        "channel": "trades.A", "seq": 1024, "ts": 1234, "data": "full", "prev": 0,
        "type": "snapshot",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("quotes.NEVER", 404, "no_value"),
        ("weather.X", 404, "no_feed"),
        ("quotes.A%20B", 400, "bad_channel"),
        ("quotes.%23", 400, "bad_channel"),
        ("quotes.", 400, "bad_channel"),
        ("%C3%A9", 400, "bad_channel"),
    ],
)
@pytest.mark.parametrize("path", ["", "/history"])
async def test_what_is_not_there_is_told_apart(
    service: Live, name: str, status: int, code: str, path: str
) -> None:
    """No value yet, no such feed (with those that are), no such name."""
    error = (await get(service, f"/v1/channels/{name}{path}", status))["error"]
    assert error["code"] == code
    assert code != "no_feed" or "quotes.#, trades.#, book.#, tokens.#" in error["message"]


async def test_a_lossless_channel_of_gaps_only_has_no_value(service: Live) -> None:
    """A message that could not be delivered is no value."""
    await service.publish("trades.A", 2**60)
    assert service.service.tally.gaps["trades"] == 1
    assert (await get(service, "/v1/channels/trades.A", 404))["error"]["code"] == "no_value"
    assert (await get(service, "/v1/channels/trades.A/history"))["updates"] == []
    [channel] = (await get(service, "/v1/channels"))["channels"]
    assert (channel["channel"], channel["ts"]) == ("trades.A", None)


async def test_head_answers_without_a_body(service: Live) -> None:
    """For probes and caches: the headers of the GET."""
    await service.publish("quotes.A", 1)
    for path in ("/", "/v1/channels", "/v1/channels/quotes.A"):
        async with service.session.head(service.url(path)) as response:
            assert response.status == 200
            assert int(response.headers["Content-Length"]) > 10
            assert await response.read() == b""


@pytest.mark.parametrize("slash", ["%2F", "/"], ids=["encoded", "decoded"])
@pytest.mark.parametrize("name", ["trades.BTC/USD", "trades.a/b/c", "trades./x//y/", "trades.A"])
async def test_a_name_with_slashes_is_found_however_they_come(
    service: Live, name: str, slash: str
) -> None:
    """A proxy that takes a prefix away (nginx, by a ``proxy_pass`` with a path) decodes them."""
    path = f"/v1/channels/{name.replace('/', slash)}"

    async def ask(method: str, path: str) -> Any:
        head = {"Content_Type": "application/json", "Content_Length": "1", "Connection": "close"}
        asked = request(path, method=method, **head)
        async with connect(service, asked + b"7") as wire:
            status, _ = await wire.head()
            assert status == (201 if method == "POST" else 200), path
            return orjson.loads((await wire.rest()).rpartition(b"}")[0] + b"}")

    await ask("POST", path)
    assert (await ask("GET", path))["channel"] == name
    assert [update["channel"] for update in (await ask("GET", f"{path}/history"))["updates"]] == [
        name
    ]


async def test_a_name_that_ends_like_an_address_needs_its_escape(service: Live) -> None:
    """``/history`` as it stands is the address, and nobody publishes by a slip there."""
    path = "/v1/channels/trades.A"
    async with service.session.post(service.url(f"{path}/history"), json=1) as response:
        assert response.status == 405
    async with service.session.post(
        URL(service.url(f"{path}%2Fhistory"), encoded=True), json=1
    ) as response:
        assert response.status == 201
    latest = await get(service, f"{path}%2Fhistory")
    assert latest["channel"] == "trades.A/history"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_channel_may_be_called_history(service: Live, method: str) -> None:
    """Nothing stands before it: it is no address. (No feed of this service has it.)"""
    async with service.session.request(
        method, service.url("/v1/channels/history"), json=1
    ) as response:
        assert (await response.json())["error"]["code"] == "no_feed"
