"""Pages of other origins, and what their browsers are told. In Chromium: tests/integration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from tests.service.transports.opened import handshake
from tests.support.raw import connect, request, upgrade

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live

LISTED, OTHER = "https://app.example.com", "https://evil.example"
STREAMS = ("/v1/sse?channels=quotes.A", "/v1/ndjson?channels=quotes.A")


@pytest.fixture
async def listing(make_live: MakeLive) -> Live:
    return await make_live(HTTP__ALLOWED_ORIGINS=f'["{LISTED}"]')


@pytest.mark.parametrize("origin", [OTHER, "null", "http://x:81", "https://x.evil.example"])
async def test_a_websocket_of_another_page_is_refused_before_the_handshake(
    service: Live, origin: str
) -> None:
    """403 and a sentence that names the setting; nobody has come in, and it is counted."""
    async with connect(service, upgrade(Origin=origin)) as wire:
        status, headers = await wire.head()
        error = orjson.loads(await wire.up_to(b"\n"))["error"]
    assert status == 403
    assert "upgrade" not in headers
    assert error["code"] == "origin_forbidden"
    assert "http.allowed_origins" in error["message"]
    assert origin in error["message"]
    assert service.service.tally.refusals["origin_forbidden"] == 1
    assert not service.service.connected


async def test_a_websocket_of_a_listed_page_the_own_page_or_no_page_is_open(
    listing: Live,
) -> None:
    """The own page is of the address in Host (which is x here), whatever the scheme."""
    for origin in (LISTED, "http://x", "https://x", None):
        named = {} if origin is None else {"Origin": origin}
        async with connect(listing, upgrade(**named)) as wire:
            headers = await handshake(wire)
        allowed = headers.get("access-control-allow-origin")
        assert allowed == (origin if origin == LISTED else None)


@pytest.mark.parametrize("path", [*STREAMS, "/v1/channels", "/v1/channels/quotes.A"])
async def test_a_listed_page_may_read_an_answer_and_no_other_page(listing: Live, path: str) -> None:
    """A refusal, too: its sentence is for the page's author. A cache is told what it varies by."""
    for origin in (LISTED, OTHER, None):
        named = {} if origin is None else {"Origin": origin}
        async with connect(listing, request(path, **named)) as wire:
            _, headers = await wire.head()
        cors = {name: value for name, value in headers.items() if name.startswith("access-")}
        assert "Origin" in headers["vary"].split(", ")
        if origin != LISTED:
            assert not cors
            continue
        assert cors == {
            "access-control-allow-origin": LISTED,
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": "Retry-After, WWW-Authenticate",
        }


async def test_an_answer_that_varies_by_more_says_so(listing: Live) -> None:
    """What an answer varied by before, it varies by still."""
    async with connect(listing, request("/", Accept="text/html", Origin=LISTED)) as wire:
        _, headers = await wire.head()
    assert headers["vary"] == "Accept, Accept-Encoding, Origin"


async def test_without_a_list_no_answer_varies(service: Live) -> None:
    """A cache keeps one copy."""
    async with connect(service, request("/v1/channels", Origin=OTHER)) as wire:
        _, headers = await wire.head()
    assert "Origin" not in headers.get("vary", "")
    assert not [name for name in headers if name.startswith("access-")]


def preflight(path: str, origin: str, method: str = "POST") -> bytes:
    return request(
        path, method="OPTIONS", Origin=origin, Access_Control_Request_Method=method,
        Access_Control_Request_Headers="authorization,content-type,last-event-id",
    )  # fmt: skip


@pytest.mark.parametrize("path", [*STREAMS, "/v1/channels/trades.A"])
async def test_a_browser_that_asks_first_is_answered(listing: Live, path: str) -> None:
    """Without a body, and for all that the service takes (Fetch, section 4.8)."""
    async with connect(listing, preflight(path, LISTED)) as wire:
        status, headers = await wire.head()
        assert status == 204
        assert headers["access-control-allow-origin"] == LISTED
        assert headers["access-control-allow-credentials"] == "true"
        assert headers["access-control-allow-methods"] == "GET, HEAD, POST, DELETE"
        allowed = headers["access-control-allow-headers"].lower().split(", ")
        assert allowed == ["authorization", "content-type", "last-event-id"]
        assert int(headers["access-control-max-age"]) > 0
        assert headers["vary"].endswith("Access-Control-Request-Headers, Origin")
        # The connection goes on, as the browser expects.
        wire.send(request("/v1/channels", Origin=LISTED))
        assert (await wire.head())[0] == 200


@pytest.mark.parametrize("origin", [OTHER, "null"])
async def test_a_browser_that_asks_for_another_page_is_refused_by_name(
    listing: Live, origin: str
) -> None:
    """The page's author sees why in the browser's tools."""
    async with connect(listing, preflight(STREAMS[0], origin)) as wire:
        status, headers = await wire.head()
        assert status == 403
        assert orjson.loads(await wire.up_to(b"\n"))["error"]["code"] == "origin_forbidden"
    assert "access-control-allow-origin" not in headers


async def test_options_without_a_question_is_no_method_here(listing: Live) -> None:
    """As any other method that there is not."""
    async with connect(listing, request("/v1/channels", method="OPTIONS", Origin=LISTED)) as wire:
        assert (await wire.head())[0] == 405
