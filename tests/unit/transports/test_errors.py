"""Refusals as HTTP answers: a JSON body and a proper status, always."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import orjson
import pytest
from aiohttp import ClientConnectionError, ClientPayloadError, web
from structlog.testing import capture_logs

from tests.support.raw import connect, request
from tickfan.core.errors import Refusal
from tickfan.transports.errors import error_response, errors_as_json

if TYPE_CHECKING:
    from aiohttp.test_utils import TestClient

    from tests.support.live import Live, MakeClient

    AnyClient = TestClient[web.Request, web.Application]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/channels/a/b/c", 404, "not_found"),
        ("POST", "/v1/ws", 405, "method_not_allowed"),
        ("DELETE", "/v1/sse", 405, "method_not_allowed"),
        ("PUT", "/v1/channels/quotes.A", 405, "method_not_allowed"),
        ("HEAD", "/v1/sse", 405, ""),
        ("GET", "/v1/ws", 426, "upgrade_required"),
    ],
)
async def test_wrong_use_of_http_is_explained(
    service: Live, method: str, path: str, status: int, code: str
) -> None:
    """The status for machines, the sentence for people, Allow where RFC 9110 demands it."""
    async with connect(service, request(path, method=method, Connection="close")) as wire:
        found, headers = await wire.head()
        text = await wire.rest()

    assert found == status
    assert headers["content-type"].startswith("application/json")
    assert ("allow" in headers) == (status == 405)
    if method == "HEAD":
        assert text == b""
        return
    error = orjson.loads(text)["error"]
    assert error["code"] == code
    assert error["message"]


async def test_who_must_upgrade_is_told_to_what(service: Live) -> None:
    """RFC 9110, section 15.5.22."""
    async with connect(service, request("/v1/ws")) as wire:
        status, headers = await wire.head()
    assert status == 426
    assert headers["upgrade"] == "websocket"
    assert "upgrade" in headers["connection"].lower()


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


def test_the_first_refusal_sets_the_status() -> None:
    """All of them are in the body."""
    response = error_response([Refusal("no_feed", "one", "a"), Refusal("bad_channel", "two")])
    assert response.status == 404
    assert isinstance(response.body, bytes)
    assert orjson.loads(response.body) == {
        "error": {"code": "no_feed", "message": "one", "item": "a"},
        "errors": [
            {"code": "no_feed", "message": "one", "item": "a"},
            {"code": "bad_channel", "message": "two"},
        ],
    }
