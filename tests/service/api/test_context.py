"""How the endpoints are put together from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickfan.api.context import CONTEXT

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive


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
