"""A stream request, from its URL or its body, to a subscription."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tests.support.raw import connect, request
from tickfan.core.errors import Refusal
from tickfan.transports.requests import check_names, few_a_turn, read_request

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive


async def test_a_full_query_is_taken_apart() -> None:
    """Channels repeated and by commas; ``_`` begins what a client's cache needs."""
    wanted = await read_request(
        make_mocked_request(
            "GET",
            "/v1/sse?channels=a.%23,b&channels=c%2Fd&interval_ms=250&snapshot=False&until=done"
            "&cursor=1~x&_=99",
        ),
        snapshot=True,
    )
    assert wanted.channels == ("a.#", "b", "c/d")
    assert (wanted.interval_ms, wanted.snapshot) == (250, False)
    assert (wanted.until, wanted.cursor) == ("done", "1~x")


@pytest.mark.parametrize("default", [True, False])
async def test_the_operator_sets_whether_a_snapshot_comes(*, default: bool) -> None:
    """A request that says nothing gets the default."""
    asked = make_mocked_request("GET", "/v1/sse?channels=a")
    assert (await read_request(asked, snapshot=default)).snapshot is default


@pytest.mark.parametrize(
    ("query", "header", "cursor"),
    [
        ("", None, None),
        ("&last_event_id=q", None, "q"),
        ("&cursor=c", None, "c"),
        ("&last_event_id=q&cursor=c", None, "q"),
        ("&last_event_id=q", "h", "h"),
        ("&last_event_id=q", "", "q"),
    ],
)
async def test_the_newest_place_wins(query: str, header: str | None, cursor: str | None) -> None:
    """Header, then last_event_id, then cursor; empty is none (a page's first connect)."""
    headers = {} if header is None else {"Last-Event-ID": header}
    asked = make_mocked_request("GET", f"/v1/sse?channels=a{query}", headers)
    assert (await read_request(asked, snapshot=True)).cursor == cursor


def test_an_unknown_field_is_named_beside_those_that_are() -> None:
    """Most are misspelled; a long one is cut."""
    with pytest.raises(Refusal, match="are channels, until") as caught:
        check_names({"channels": 1, "x" * 500: 2}, ("channels", "until"))
    assert caught.value.item == "x" * 80


@pytest.mark.parametrize("path", ["/v1/sse", "/v1/ndjson", "/v1/channels/quotes.A"])
async def test_a_body_that_does_not_come_is_refused(make_live: MakeLive, path: str) -> None:
    """The client is told, and let go: it would hold a place, and a stop, for ever."""
    service = await make_live(HTTP__HEADER_TIMEOUT_S="1")
    head = request(path, method="POST", Content_Type="application/json", Content_Length="100")
    async with connect(service, head + b"{") as wire:
        status, headers = await wire.head()
        assert status == 408
        assert headers["connection"].lower() == "close"
        assert b"request_timeout" in await wire.up_to(b"}")


async def test_a_few_requests_begin_in_a_turn() -> None:
    """Of a hundred that come at once, none is lost and none comes out of turn."""
    loop = asyncio.get_running_loop()
    turn = 0
    began: list[tuple[int, int]] = []

    def count() -> None:
        nonlocal turn
        turn += 1
        if turn < 100:
            loop.call_soon(count)

    async def handler(request: web.Request) -> web.Response:
        began.append((turn, int(request.path[1:])))
        return web.Response()

    middleware = few_a_turn(8)
    requests = [make_mocked_request("GET", f"/{number}", loop=loop) for number in range(100)]
    count()
    await asyncio.gather(*(middleware(request, handler) for request in requests))
    turns = [when for when, _ in began]
    assert max(turns.count(when) for when in turns) == 8
    assert [number for _, number in began] == list(range(100))
