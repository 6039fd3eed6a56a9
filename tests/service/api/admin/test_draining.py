"""Emptying a replica by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.rig.waiting import until

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive

PATH = "/v1/admin/drain"


async def test_a_replica_is_emptied_and_goes_on(make_live: MakeLive) -> None:
    """Not ready, everybody told to go; taken back, it takes clients again."""
    service = await make_live(STOP__DRAIN_S="0")
    async with service.sse("channels=quotes.A") as stream, service.ws() as talk:
        answer = await service.admin.post(PATH)
        assert (answer.status, await answer.json()) == (202, {"draining": True, "connections": 2})
        for reader in (stream, talk):
            assert (await reader.read_until("closing"))[-1]["reason"] == "drain"
    ready = await service.admin.get("/readyz")
    assert (ready.status, (await ready.json())["draining"]) == (503, True)
    async with service.sse("channels=quotes.A") as stream:
        assert (await stream.read_until("closing"))[-1]["reason"] == "drain"
    assert (await service.admin.post(PATH)).status == 202

    await until(lambda: not service.service.connected)
    answer = await service.admin.delete(PATH)
    assert (answer.status, await answer.json()) == (200, {"draining": False, "connections": 0})
    assert (await service.admin.get("/readyz")).status == 200
    async with service.sse("channels=quotes.A") as stream:
        assert (await stream.next())["event"] == "subscribed"

        service.service.refuse_new()  # SIGTERM has come
        answer = await service.admin.delete(PATH)
        assert (answer.status, (await answer.json())["error"]["code"]) == (503, "drain")
    assert (await service.admin.get("/readyz")).status == 503
