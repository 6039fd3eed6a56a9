"""The metrics of revocations."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from tests.support.access import GUARDED, bearer, revocations_of
from tickfan.broker.base import Received
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live


async def _values(service: Live) -> dict[str, float]:
    text = await (await service.admin.get("/metrics")).text()
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "revo" in sample.name
    }


async def test_what_came_and_whether_it_still_comes(make_live: MakeLive) -> None:
    """Where there are no keys, there is nothing to be watched."""
    service = await make_live(**GUARDED)
    quiet = {
        "tickfan_revocations": 0, "tickfan_revocations_received_total": 0,
        "tickfan_revocations_malformed_total": 0, "tickfan_revoked_connections_total": 0,
        "tickfan_revocations_live": 1, "tickfan_revocations_unread_seconds": 0,
    }  # fmt: skip
    assert await _values(service) == quiet
    async with service.ws("tickfan.json.v1", headers=bearer(channels=["trades.#"])) as talk:
        entries = [{"subject": "alice"}, {"jti": "x"}]
        await service.admin.post("/v1/admin/revocations", json={"revocations": entries})
        await talk.read_until("closing")
    revocations = revocations_of(service)
    revocations.deliver("revocations", Received("revocations", b"junk"))
    revocations.upstream("revocations", Upstream.STALE, "cut")
    revocations.since_ms = int(time.time() * 1000) - 5000
    found = await _values(service)
    assert 5 <= found.pop("tickfan_revocations_unread_seconds") < 600
    assert found == {
        "tickfan_revocations": 2, "tickfan_revocations_received_total": 2,
        "tickfan_revocations_malformed_total": 1, "tickfan_revoked_connections_total": 1,
        "tickfan_revocations_live": 0,
    }  # fmt: skip
    assert not await _values(await make_live())
