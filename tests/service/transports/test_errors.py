"""Refusals as HTTP answers: a JSON body and a proper status, always."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from tests.support.raw import connect, request
from tickfan.core.errors import Refusal
from tickfan.transports.errors import error_response

if TYPE_CHECKING:
    from tests.support.live import Live


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/channels/a/b/c", 404, "no_feed"),
        ("GET", "/v1/sse//", 404, "not_found"),
        ("POST", "/v1/channels/quotes.A/history", 405, "method_not_allowed"),
        ("POST", "/v1/ws", 405, "method_not_allowed"),
        ("DELETE", "/v1/sse", 405, "method_not_allowed"),
        ("PUT", "/v1/channels/quotes.A", 405, "method_not_allowed"),
        ("HEAD", "/v1/ws", 405, ""),
        ("HEAD", "/v1/sse", 400, ""),
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


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/sse/?channels=quotes.A", 200),
        ("/v1/ndjson/?channels=quotes.A", 200),
        ("/v1/ws/", 426),
        ("/v1/channels/", 200),
        ("/v1/channels/trades.A/history/", 200),
    ],
)
async def test_a_slash_behind_an_address_makes_no_difference(
    service: Live, path: str, status: int
) -> None:
    """It is answered, not redirected: clients of streams follow no redirects."""
    await service.publish("trades.A", 1)
    async with connect(service, request(path)) as wire:
        assert (await wire.head())[0] == status


@pytest.mark.parametrize("path", ["/livez/", "/readyz/", "/metrics/", "/v1/stats/"])
async def test_so_it_is_on_the_second_listener(service: Live, path: str) -> None:
    """Probes are written by hand."""
    assert (await service.admin.get(path)).status == 200


async def test_who_must_upgrade_is_told_to_what(service: Live) -> None:
    """RFC 9110, section 15.5.22."""
    async with connect(service, request("/v1/ws")) as wire:
        status, headers = await wire.head()
    assert status == 426
    assert headers["upgrade"] == "websocket"
    assert "upgrade" in headers["connection"].lower()


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
