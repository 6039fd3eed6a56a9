"""How the endpoints are put together from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.access import GUARDED
from tickfan.api.context import CONTEXT

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive


@pytest.mark.parametrize(
    ("settings", "anonymous", "with_token"),
    [
        ({}, True, False),
        ({"PUBLISH__TOKEN": "correct-horse-battery-staple"}, False, True),
        ({"BROKER__URL": "amqp://127.0.0.1:1"}, False, False),
        (GUARDED, False, True),
    ],
)
async def test_who_may_publish_follows_from_broker_and_tokens(
    make_live: MakeLive, settings: dict[str, str], *, anonymous: bool, with_token: bool
) -> None:
    """Anybody on the embedded broker only; else whoever has a token, if there can be one."""
    service = await make_live(**settings)
    assert service.service.gate.anonymous.writes.is_all is anonymous
    for app in (service.service.public, service.service.admin):
        context = app[CONTEXT]
        assert context.gate.takes_publishers is with_token
        assert not context.is_draining()
    service.service.refuse_new()
    assert context.is_draining()
