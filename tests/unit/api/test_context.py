"""What the endpoints are given, and how they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickfan.api.context import CONTEXT, json_response

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive


def test_an_answer_is_json_with_a_line_end_that_no_cache_keeps() -> None:
    """Prices are old at once; a terminal's prompt begins a line of its own."""
    response = json_response({"a": "é"}, 201, {"X-More": "1"})
    assert response.body == '{"a":"é"}\n'.encode()
    assert (response.status, response.content_type) == (201, "application/json")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-More"] == "1"


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
