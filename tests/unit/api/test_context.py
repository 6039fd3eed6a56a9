"""What the endpoints are given, and how they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from service.api.context import CONTEXT, json_response

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive


def test_an_answer_is_json_with_a_line_end_that_no_cache_keeps() -> None:
    """Prices are old at once; a terminal's prompt begins a line of its own."""
    response = json_response({"a": "é"}, 201, {"X-More": "1"})
    assert response.body == '{"a":"é"}\n'.encode()
    assert (response.status, response.content_type) == (201, "application/json")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-More"] == "1"


@pytest.mark.parametrize("accepts", ["gzip", "deflate", "identity"])
async def test_a_large_answer_is_compressed_for_who_takes_it(
    make_live: MakeLive, accepts: str
) -> None:
    """From a packet's size on; a small one and a stream come as they are."""
    service = await make_live()
    session = service.session
    for index in range(200):
        await service.publish(f"trades.C{index}", index)

    async def encoding(path: str) -> str | None:
        headers = {"Accept-Encoding": accepts}
        async with session.get(service.url(path), headers=headers) as answer:
            assert answer.status == 200
            if "v1/channels" in path:
                assert await answer.json()  # the client can read it
            return answer.headers.get("Content-Encoding")

    assert await encoding("/v1/channels") == (None if accepts == "identity" else accepts)
    assert await encoding("/v1/channels/trades.C1") is None
    assert await encoding("/v1/ndjson?channels=trades.C1") is None
    assert await encoding("/v1/sse?channels=trades.C1") is None


@pytest.mark.parametrize(
    ("settings", "token"),
    [
        ({}, None),
        ({"PUBLISH__TOKEN": "correct-horse-battery-staple"}, "correct-horse-battery-staple"),
        ({"BROKER__URL": "amqp://127.0.0.1:1"}, ""),
    ],
)
async def test_who_may_publish_follows_from_broker_and_token(
    make_live: MakeLive, settings: dict[str, str], token: str | None
) -> None:
    """None: anybody, on the embedded broker only. Empty: nobody."""
    service = await make_live(**settings)
    for app in (service.service.public, service.service.admin):
        context = app[CONTEXT]
        assert context.publish_token == token
        assert not context.is_draining()
    service.service.refuse_new()
    assert context.is_draining()
