"""The two probes, and the wall between the two listeners."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadtest.rig.waiting import until
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live


async def test_ready_when_every_feed_has_been_read(service: Live) -> None:
    """An outage later on is told, and does not take the replica out of the balance."""
    answer = await service.admin.get("/readyz")
    body = await answer.json()
    assert (answer.status, body["ready"], body["draining"]) == (200, True, False)
    assert {name: feed["upstream"] for name, feed in body["feeds"].items()} == {
        "quotes": "live", "trades": "live", "book": "live", "tokens": "live",
    }  # fmt: skip
    assert "why" not in body["feeds"]["quotes"]

    service.hub.upstream(service.service.feeds["quotes"], Upstream.STALE, "the consumer is gone", 5)
    answer = await service.admin.get("/readyz")
    assert answer.status == 200
    assert (await answer.json())["feeds"]["quotes"] == {
        "upstream": "stale", "since": 5, "why": "the consumer is gone",
    }  # fmt: skip


async def test_a_draining_replica_is_live_and_not_ready(service: Live) -> None:
    """A restart would not mend it."""
    service.service.refuse_new()
    ready, live = await service.admin.get("/readyz"), await service.admin.get("/livez")
    assert (ready.status, (await ready.json())["draining"]) == (503, True)
    assert (live.status, await live.json()) == (200, {"live": True})


async def test_a_broker_that_is_not_there_makes_it_unready_not_dead(make_live: MakeLive) -> None:
    """It says why, without the password."""
    service = await make_live(BROKER__URL="amqp://me:hush@127.0.0.1:1")
    await until(lambda: all(feed.why for feed in service.service.feeds.values()))
    answer = await service.admin.get("/readyz")
    body = await answer.json()
    assert answer.status == 503
    assert body["feeds"]["trades"]["upstream"] == "starting"
    assert body["feeds"]["trades"]["why"]
    assert "hush" not in await answer.text()
    assert (await service.admin.get("/livez")).status == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/v1/stats"])
async def test_the_public_listener_does_not_show_the_inside(service: Live, path: str) -> None:
    """Nor does the admin listener serve clients."""
    assert (await service.client.get(path)).status == 404
    assert (await service.admin.get(path)).status == 200
    assert (await service.admin.head(path)).status == 200
    wrong = await service.admin.post(path)
    assert (wrong.status, wrong.headers["Allow"]) == (405, "GET,HEAD")
    assert (await wrong.json())["error"]["code"] == "method_not_allowed"
    for public in ("/v1/channels", "/v1/sse?channels=quotes.A", "/v1/ws"):
        assert (await service.admin.get(public)).status == 404
