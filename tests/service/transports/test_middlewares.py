"""tickfan.transports.middlewares: a request whose body does not come, and one that fails."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import orjson
import pytest
from aiohttp import ClientConnectionError, ClientPayloadError, web
from structlog.testing import capture_logs

from loadtest.rig.waiting import DEADLINE_S
from tests.support.raw import connect, request
from tickfan.transports.middlewares import (
    LISTS,
    body_within,
    errors_as_json,
    lists_on_one_line,
)

if TYPE_CHECKING:
    from aiohttp.test_utils import TestClient

    from tests.support.fixtures import MakeLive
    from tests.support.live import Live, MakeClient

    AnyClient = TestClient[web.Request, web.Application]


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


@pytest.mark.parametrize("name", LISTS)
async def test_header_lines_of_a_list_are_one_list(aiohttp_client: MakeClient, name: str) -> None:
    """RFC 9110, section 5.3. The body is still read; a header that is no list stays as it is."""

    async def shows(request: web.Request) -> web.Response:
        body = await request.text()
        seen = [request.headers.getall(each) for each in (name, "X-Other")]
        return web.json_response([*seen, body])

    app = web.Application(middlewares=[lists_on_one_line, body_within(DEADLINE_S)])
    app.router.add_post("/", shows)
    client = await aiohttp_client(app)
    twice = {
        name.replace("-", "_"): "a", name.lower().replace("-", "_"): "b, c", "X_Other": "d\ne"
    }  # fmt: skip
    asked = request("/", method="POST", Content_Length="4", Connection="close", **twice)
    assert client.port is not None
    async with connect(client.port, asked + b"body") as wire:
        assert (await wire.head())[0] == 200
        assert orjson.loads(await wire.rest()) == [["a, b, c"], ["d", "e"], "body"]


@pytest.mark.parametrize(
    ("path", "headers", "answer"),
    [
        ("/", {"Accept": "image/png\ntext/html"}, b"<!doctype html>"),
        ("/", {"Accept": "text/html", "Accept_Encoding": "br\ngzip"}, b"-Encoding: gzip"),
        ("/v1/channels/trades.A/history", {"Accept": "x/y\ntext/csv"}, b"channel,seq,"),
    ],
)  # fmt: skip
async def test_every_list_header_that_we_read_may_have_several_lines(
    service: Live, path: str, headers: dict[str, str], answer: bytes
) -> None:
    """What a client accepts is also in the second line."""
    await service.publish("trades.A", 1)
    async with connect(service, request(path, Connection="close", **headers)) as wire:
        assert answer in await wire.rest()


async def test_a_packed_body_is_refused_whatever_line_says_so(service: Live) -> None:
    """The first line alone says that it is not."""
    packed = request(
        "/v1/sse", method="POST", Content_Length="2", Content_Encoding="identity\ngzip"
    )
    async with connect(service, packed + b"{}") as wire:
        assert (await wire.head())[0] == 415


async def test_headers_that_cannot_be_joined_are_refused(service: Live) -> None:
    """Bytes that are no UTF-8, beside a list in two lines: an answer, not a failure."""
    asked = request("/v1/channels", Accept="a\nb", X_Name="~").replace(b"~", b"\xff")
    async with connect(service, asked) as wire:
        assert (await wire.head())[0] == 400
        assert b"not UTF-8" in await wire.up_to(b"\n")


async def _fails(_request: web.Request) -> web.Response:
    raise ZeroDivisionError("secret detail")


async def _fails_late(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"begun")
    raise ZeroDivisionError


async def _is_left(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    raise ConnectionResetError


async def _breaks(_request: web.Request) -> web.Response:
    raise ConnectionResetError("to a broker, say")


async def _moves(_request: web.Request) -> web.Response:
    raise web.HTTPFound("/elsewhere")


@pytest.fixture
async def client(aiohttp_client: MakeClient) -> AnyClient:
    app = web.Application(middlewares=[errors_as_json(Counter())])
    app.router.add_get("/fails/{name}", _fails)
    app.router.add_get("/late", _fails_late)
    app.router.add_get("/left", _is_left)
    app.router.add_get("/breaks", _breaks)
    app.router.add_get("/moves", _moves)
    return await aiohttp_client(app)


async def test_a_failure_is_logged_and_tells_nothing(client: AnyClient) -> None:
    """500 with a code; the log names the route, not the query."""
    with capture_logs() as logs:
        response = await client.get("/fails/x?token=hush")
    assert response.status == 500
    body = await response.text()
    assert orjson.loads(body)["error"]["code"] == "internal"
    assert "secret" not in body
    [line] = logs
    assert (line["event"], line["route"]) == ("a request failed", "/fails/{name}")
    assert "hush" not in str(line)


async def test_a_failure_after_the_headers_is_no_second_response(
    client: AnyClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection is cut: what follows would be read as the body's rest."""
    with capture_logs() as logs:
        async with client.session.get(client.make_url("/late")) as response:
            with pytest.raises(ClientPayloadError):
                await response.read()
    assert [line["event"] for line in logs] == ["a request failed"]
    assert caplog.records == []


async def test_a_client_that_has_gone_is_no_failure(
    client: AnyClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody to answer and nothing to log; another lost connection is a failure."""
    with capture_logs() as logs:
        with pytest.raises(ClientConnectionError):
            await client.get("/left")
        assert logs == []
        assert (await client.get("/breaks")).status == 500
    assert [line["event"] for line in logs] == ["a request failed"]
    assert caplog.records == []


async def test_a_redirect_stays_one(client: AnyClient) -> None:
    """Only what is 400 and above is an error."""
    response = await client.get("/moves", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (302, "/elsewhere")
