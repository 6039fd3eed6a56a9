"""``/v1/stats``: the counts of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.live import Live


async def test_everything_that_is_counted_is_shown(service: Live) -> None:
    """Connections as they are, updates as they went, refusals by reason."""
    async with service.sse("channels=trades.A,quotes.A") as stream, service.ws() as talk:
        await stream.read_until("snapshot_end")
        await talk.say(op="subscribe", channels=["trades.A"])
        await talk.read_until("snapshot_end")
        for number in range(3):
            await service.publish("trades.A", number)
        await service.publish("trades.A", 2**60)
        await stream.updates(3)
        await stream.read_until("gap")
        await talk.read_until("gap")
        found = await (await service.admin.get("/v1/stats")).json()

    assert found["epoch"] == service.service.subscriptions.epoch
    assert found["connections"] == 2
    assert found["by_format"] == {"sse": 1, "ws.msgpack": 1}
    assert found["audiences"] == 3
    assert found["parked"] == 0
    trades = found["feeds"]["trades"]
    assert (trades["upstream"], trades["channels"], trades["gaps"]) == ("live", 1, 1)
    assert (trades["messages_in"], trades["history_updates"]) == (4, 4)
    assert found["poison"] == {"trades": {"bad_number": 1}}
    assert found["updates_out"] == 8  # a gap counts: it takes an update's place
    assert found["encodings"] == 6  # three updates, in two wire formats
    assert found["bytes_out"] > 100
    assert 0 < found["longest_slice_ms"] < 1000

    found = await (await service.admin.get("/v1/stats")).json()
    assert sum(count for by_reason in found["closes"].values() for count in by_reason.values()) <= 2
